// A mutex or a condition, as home and tasks see it. Each has a page of user memory of its own,
// open to stores by every task that has opened it, and a state in its home's kernel memory, which
// tasks only read.
//
//   page of a mutex       word 0: 0 free; else the token of the owner, with lock_waiters set when
//                         somebody may sleep on the word. Changed by compare-and-exchange only.
//   page of a condition   word 0: goes up with every notification; waiters sleep on it
//   LockState             broken: an owner died; nobody takes the mutex until it is reset
//                         generation: goes up when the home has changed something or a task that
//                         had opened the object has gone; everybody who sleeps, sleeps on it too
//
// A token names one attached process, and none of two that have opened the same lock is the same.
// What a dying task leaves in the page is input for the home: a word that names nobody who could
// own the mutex makes it broken.
#pragma once

#include <atomic>
#include <cstdint>

namespace hive::proto {

inline constexpr std::uint32_t lock_owner_mask = 0x3fffffff;
inline constexpr std::uint32_t lock_waiters = 0x80000000;
inline constexpr std::uint32_t lock_other_bits = ~(lock_owner_mask | lock_waiters);  // always 0

constexpr std::uint32_t lock_token(std::uint64_t client) {
  return static_cast<std::uint32_t>(client) & lock_owner_mask;
}

struct LockState {
  std::atomic<std::uint32_t> generation{0};  // a futex
  std::atomic<std::uint32_t> broken{0};
};

}  // namespace hive::proto
