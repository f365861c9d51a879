#include "base/futex.h"

#include <array>
#include <cerrno>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/time.h"

namespace hive {
namespace {

constexpr std::size_t waitv_max = 128;  // FUTEX_WAITV_MAX of Linux

// Keeps errno of an interrupted program as it was.
class KeepErrno {
 public:
  KeepErrno() : saved_(errno) {}
  ~KeepErrno() { errno = saved_; }
  KeepErrno(const KeepErrno&) = delete;
  KeepErrno& operator=(const KeepErrno&) = delete;

 private:
  int saved_;
};

FutexWait outcome_of(long result) noexcept {
  if (result >= 0 || errno == EAGAIN || errno == EINTR) return FutexWait::woken;
  return errno == ETIMEDOUT ? FutexWait::timed_out : FutexWait::fault;
}

}  // namespace

FutexWait futex_wait(const std::atomic<std::uint32_t>* word, std::uint32_t expected,
                     std::uint64_t deadline_ns) noexcept {
  const KeepErrno keep;
  const timespec deadline = to_timespec(deadline_ns);
  // FUTEX_WAIT_BITSET takes an absolute deadline, so that being interrupted does not extend it.
  return outcome_of(::syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, &deadline, nullptr,
                              FUTEX_BITSET_MATCH_ANY));
}

FutexWait futex_wait_any(std::span<const FutexWord> words, std::uint64_t deadline_ns) noexcept {
  const KeepErrno keep;
  if (words.size() > waitv_max) return FutexWait::fault;
  std::array<futex_waitv, waitv_max> waits;
  for (std::size_t i = 0; i < words.size(); ++i) {
    waits[i] = {};
    waits[i].val = words[i].expected;
    waits[i].uaddr = reinterpret_cast<std::uintptr_t>(words[i].word);
    waits[i].flags = FUTEX_32;
  }
  const timespec deadline = to_timespec(deadline_ns);
  return outcome_of(::syscall(SYS_futex_waitv, waits.data(), words.size(), 0, &deadline,
                              CLOCK_MONOTONIC));
}

int futex_wake(const std::atomic<std::uint32_t>* word, int count) noexcept {
  const KeepErrno keep;
  const long woken = ::syscall(SYS_futex, word, FUTEX_WAKE, count, nullptr, nullptr, 0);
  return woken < 0 ? -errno : static_cast<int>(woken);
}

}  // namespace hive
