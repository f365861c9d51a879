#include "cell/gate/request_pages.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/safe_copy.h"

namespace hive::cell {

using proto::GateRequest;
using proto::GateRequests;

// The copy is made of bytes, so the two have to agree.
static_assert(offsetof(RequestCopy, deadline_ns) == offsetof(GateRequest, deadline_ns));
static_assert(offsetof(RequestCopy, args) == offsetof(GateRequest, args));
static_assert(offsetof(RequestCopy, name) == offsetof(GateRequest, name));

std::optional<std::string_view> RequestCopy::name_text() const {
  const std::size_t length = ::strnlen(name.data(), name.size());
  if (length == name.size()) return std::nullopt;
  return std::string_view(name.data(), length);
}

Result<RequestPages> RequestPages::map(UniqueFd memfd) {
  const int seals = ::fcntl(memfd.get(), F_GET_SEALS);
  struct stat about {};
  struct statfs where {};
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || ::fstat(memfd.get(), &about) != 0 ||
      about.st_size < static_cast<off_t>(proto::gate_request_bytes) ||
      ::fstatfs(memfd.get(), &where) != 0 || where.f_type != TMPFS_MAGIC) {
    return fail(Code::bad_argument, "the request memory is no memfd sealed against shrinking");
  }
  void* memory =
      ::mmap(nullptr, proto::gate_request_bytes, PROT_READ, MAP_SHARED, memfd.get(), 0);
  if (memory == MAP_FAILED) {
    return fail(Code::host, "Linux refused to map the request memory", -1, errno);
  }
  ::madvise(memory, proto::gate_request_bytes, MADV_DONTFORK);
  RequestPages pages(static_cast<const GateRequests*>(memory));
  pages.mapped_ = true;
  std::uint32_t magic = 0;
  if (!safe_load32(&pages.requests_->magic, magic) || magic != proto::gate_magic) {
    return fail(Code::bad_argument, "the request memory does not begin as it should");
  }
  return pages;
}

RequestPages RequestPages::borrow(const GateRequests* requests) { return RequestPages(requests); }

RequestPages::RequestPages(RequestPages&& other) noexcept
    : requests_(std::exchange(other.requests_, nullptr)),
      mapped_(std::exchange(other.mapped_, false)) {}

RequestPages::~RequestPages() {
  if (mapped_) ::munmap(const_cast<GateRequests*>(requests_), proto::gate_request_bytes);
}

bool RequestPages::slots_used(std::uint32_t& value) const noexcept {
  return safe_load32(&requests_->slots_used, value);
}
bool RequestPages::posted(std::uint32_t slot, std::uint32_t& value) const noexcept {
  return safe_load32(&requests_->posted[slot], value);
}
bool RequestPages::sleeping(std::uint32_t slot, std::uint32_t& value) const noexcept {
  return safe_load32(&requests_->slots[slot].sleeping, value);
}
bool RequestPages::copy_data(std::uint32_t slot, std::span<std::byte> out) const noexcept {
  if (!mapped_ || slot >= proto::gate_slots || out.size() > proto::gate_data_bytes) return false;
  const auto* data = reinterpret_cast<const std::byte*>(requests_) + proto::gate_data_offset +
                     slot * proto::gate_data_bytes;
  return safe_copy(out.data(), data, out.size());
}
bool RequestPages::copy(std::uint32_t slot, RequestCopy& out) const noexcept {
  return safe_copy(&out, &requests_->slots[slot], sizeof out);
}

std::span<const std::byte> RequestPages::data(std::uint32_t slot,
                                              std::size_t bytes) const noexcept {
  if (!mapped_ || slot >= proto::gate_slots || bytes > proto::gate_data_bytes) return {};
  const auto* const begin = reinterpret_cast<const std::byte*>(requests_);
  return {begin + proto::gate_data_offset + slot * proto::gate_data_bytes, bytes};
}

std::uint32_t RequestPages::used(std::uint32_t entry) const noexcept {
  std::uint32_t mark = 0;
  if (!mapped_) return 0;
  const auto* const marks = reinterpret_cast<const std::uint32_t*>(
      reinterpret_cast<const std::byte*>(requests_) + proto::gate_used_offset);
  return safe_load32(&marks[entry % proto::gate_used_words], mark) ? mark : 0;
}

}  // namespace hive::cell
