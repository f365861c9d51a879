// Futexes on words in shared memory. The word may lie in a mapping that is read-only here: waiting
// and waking need only read access. All are async-signal-safe and leave errno alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

namespace hive {

enum class FutexWait : std::uint8_t {
  woken,      // woken, or the word had changed already, or a signal came: look again
  timed_out,
  fault,      // the word is not readable (the memory behind it is gone)
};

struct FutexWord {
  const std::atomic<std::uint32_t>* word;
  std::uint32_t expected;
};

// Sleeps while *word == expected. deadline_ns: absolute, CLOCK_MONOTONIC.
FutexWait futex_wait(const std::atomic<std::uint32_t>* word, std::uint32_t expected,
                     std::uint64_t deadline_ns) noexcept;

// Sleeps while every word has its expected value. At most 128 words.
FutexWait futex_wait_any(std::span<const FutexWord> words, std::uint64_t deadline_ns) noexcept;

// Wakes up to `count` sleepers. Returns how many were woken, or a negative errno.
int futex_wake(const std::atomic<std::uint32_t>* word, int count) noexcept;

}  // namespace hive
