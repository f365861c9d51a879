#include "lib/fork_guard.h"

#include <atomic>
#include <cerrno>
#include <new>

#include <sys/mman.h>
#include <unistd.h>

#include "machine/layout.h"

namespace hive::lib {
namespace {

using Mark = std::atomic<std::uint64_t>;

Mark* make_mark() {
  void* const page = ::mmap(nullptr, machine::page_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return nullptr;
  if (::madvise(page, machine::page_bytes, MADV_WIPEONFORK) != 0) {
    ::munmap(page, machine::page_bytes);
    return nullptr;
  }
  return new (page) Mark(0);
}

std::atomic<Mark*> mark{nullptr};

}  // namespace

Result<std::uint64_t> this_process() {
  if (mark.load() == nullptr) {
    Mark* const made = make_mark();
    if (made == nullptr) return fail(Code::exhausted, "no memory to attach with", -1, errno);
    Mark* expected = nullptr;
    if (!mark.compare_exchange_strong(expected, made)) ::munmap(made, machine::page_bytes);
  }
  mark.load()->store(static_cast<std::uint64_t>(::getpid()));
  return mark.load()->load();
}

std::uint64_t known_process() noexcept {
  const Mark* const page = mark.load(std::memory_order_acquire);
  return page == nullptr ? 0 : page->load(std::memory_order_relaxed);
}

}  // namespace hive::lib
