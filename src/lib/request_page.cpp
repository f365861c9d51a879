#include "lib/request_page.h"

#include <cerrno>
#include <new>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace hive::lib {

Result<RequestPage> RequestPage::create() {
  const auto host = [] {
    const bool scarce = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
    return fail(scarce ? Code::exhausted : Code::host, "no memory for calls to a cell", -1, errno);
  };
  RequestPage page;
  page.descriptor_.reset(::memfd_create("hive-requests", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!page.descriptor_ || ::ftruncate(page.descriptor_.get(), proto::gate_request_bytes) != 0) {
    return host();
  }
  void* const memory = ::mmap(nullptr, proto::gate_request_bytes, PROT_READ | PROT_WRITE,
                              MAP_SHARED, page.descriptor_.get(), 0);
  if (memory == MAP_FAILED) return host();
  page.requests_ = new (memory) proto::GateRequests;
  // After mapping: the last seal also forbids a writable mapping to ourselves.
  constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  if (::madvise(memory, proto::gate_request_bytes, MADV_DONTFORK) != 0 ||
      ::fcntl(page.descriptor_.get(), F_ADD_SEALS, seals) != 0) {
    return host();
  }
  return page;
}

RequestPage::RequestPage(RequestPage&& other) noexcept
    : requests_(std::exchange(other.requests_, nullptr)),
      descriptor_(std::move(other.descriptor_)) {}

RequestPage& RequestPage::operator=(RequestPage&& other) noexcept {
  std::swap(requests_, other.requests_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

RequestPage::~RequestPage() {
  if (requests_ != nullptr) ::munmap(requests_, proto::gate_request_bytes);
}

}  // namespace hive::lib
