#include "cell/careful/careful.h"

#include <cstring>

#include "base/time.h"

namespace hive::cell {
namespace {

static_assert(sizeof(TypeTag) == 8);

// The tag at the head of a structure in one word: the type in the low half, the count in the high.
bool load_tag(std::uint64_t address, std::uint64_t& tag) noexcept {
  return safe_load64(reinterpret_cast<const void*>(address), tag);
}
constexpr std::uint32_t type_of(std::uint64_t tag) { return static_cast<std::uint32_t>(tag); }

bool is_race(const char* cause) { return cause == careful_reused || cause == careful_unsteady; }

}  // namespace

const char* CarefulReader::read_tagged(std::uint64_t address, std::size_t size, std::uint32_t type,
                                       void* out) const {
  if (const char* cause = check(address, size, heap_alignment)) [[unlikely]] return cause;
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  // A small copy loads its head, the tag, before everything else; a large one may not.
  const bool ordered = size <= safe_copy_ordered_max;
  if (!ordered && !load_tag(address, before)) [[unlikely]] return careful_bus_error;
  std::atomic_thread_fence(std::memory_order_acquire);
  if (!safe_copy(out, reinterpret_cast<const void*>(address), size)) [[unlikely]] {
    return careful_bus_error;
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  if (ordered) std::memcpy(&before, out, sizeof before);
  if (trusts_) [[unlikely]] return nullptr;
  if (type_of(before) != type) [[unlikely]] {
    return type_of(before) == 0 ? careful_free : careful_other_type;
  }
  if (!load_tag(address, after)) [[unlikely]] return careful_bus_error;
  return before == after ? nullptr : careful_reused;
}

const char* CarefulReader::follow_tagged(std::uint64_t pointer_address, std::size_t size,
                                         std::uint32_t type, void* out) const {
  for (int tries = 0; tries < follow_tries_max; ++tries) {
    std::uint64_t target = 0;
    if (const char* cause =
            read_bytes(pointer_address, sizeof target, alignof(std::uint64_t), &target)) {
      return cause;
    }
    if (target == 0) return careful_null;
    const char* cause = read_tagged(target, size, type, out);
    if (cause == nullptr || cause == careful_bus_error) return cause;
    cause = cause_if_linked(cause, pointer_address, target, type);
    if (!is_race(cause)) return cause;
  }
  return careful_unsteady;
}

// A target that fails its checks because its owner took it out meanwhile says nothing about the
// owner's sanity. It is corrupt only if the pointer led there while it was certainly not in use as
// this type: the same tag, with the same count of allocations, before and after the pointer is
// read.
const char* CarefulReader::cause_if_linked(const char* cause, std::uint64_t link,
                                           std::uint64_t target, std::uint32_t type) const {
  if (link == 0 || (cause != careful_free && cause != careful_other_type)) return cause;
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  std::uint64_t pointer = 0;
  if (!load_tag(target, before)) return careful_bus_error;
  std::atomic_thread_fence(std::memory_order_acquire);
  if (!safe_load64(reinterpret_cast<const void*>(link), pointer)) return careful_bus_error;
  std::atomic_thread_fence(std::memory_order_acquire);
  if (!load_tag(target, after)) return careful_bus_error;
  const bool dangling = pointer == target && before == after && type_of(before) != type;
  return dangling ? cause : careful_reused;
}

const char* CarefulReader::read_steady(std::uint64_t address, std::size_t size,
                                       std::size_t alignment, void* out) const {
  if (const char* cause = check(address, size, alignment)) return cause;
  const auto* source = reinterpret_cast<const void*>(address);
  for (int tries = 0; tries < changing_tries_max; ++tries) {
    std::uint32_t before = 0;
    std::uint32_t after = 0;
    if (!safe_load32(source, before)) return careful_bus_error;
    if (before % 2 == 0) {
      std::atomic_thread_fence(std::memory_order_acquire);
      if (!safe_copy(out, source, size)) return careful_bus_error;
      std::atomic_thread_fence(std::memory_order_acquire);
      if (!safe_load32(source, after)) return careful_bus_error;
      if (before == after) return nullptr;
    }
    cpu_relax();
  }
  return careful_unsteady;
}

Failure CarefulReader::failure(const char* cause) const {
  if (cause == careful_null) return fail(Code::not_found, cause, cell_);
  if (is_race(cause)) return failure(cause, Code::busy);
  return failure(cause, cause == careful_bus_error ? Code::cell_down : Code::corrupt);
}

Failure CarefulReader::failure(const char* cause, Code code) const {
  const Error what = error(code, cause, cell_);
  if (counters_ != nullptr) {
    auto& counter = code == Code::busy        ? counters_->raced
                    : code == Code::cell_down ? counters_->bus_errors
                                              : counters_->corrupt;
    counter.fetch_add(1, std::memory_order_relaxed);
    const bool address = cause == careful_misaligned || cause == careful_outside;
    const bool tag = cause == careful_free || cause == careful_other_type;
    if (address) counters_->bad_address.fetch_add(1, std::memory_order_relaxed);
    if (tag) counters_->bad_tag.fetch_add(1, std::memory_order_relaxed);
    const bool tell = counters_->hook != nullptr && code != Code::busy;
    if (tell) counters_->hook(counters_->context, what);
  }
  return fail(what);
}

}  // namespace hive::cell
