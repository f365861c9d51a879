// Whether a wait may begin by spinning. Spinning is the fastest way to wait on a processor of
// one's own and the slowest on a shared one, so it is tried, and given up for a while when it does
// not pay: when the loop itself was held up, which means that somebody else wants the processor,
// or when several waits in a row got nothing for it (one that gets nothing is just the end of a
// burst).
#pragma once

#include <atomic>
#include <cstdint>

#include "base/time.h"

namespace hive::cell {

inline constexpr std::uint64_t spin_max_ns = 50 * ns_per_us;
inline constexpr std::uint64_t spin_held_up_ns = 30 * ns_per_us;  // between two looks at the clock
inline constexpr std::uint64_t spin_pause_ns = 10 * ns_per_ms;    // without spinning
inline constexpr std::uint32_t spin_failures_max = 3;             // in a row
inline constexpr int spins_per_look = 16;  // at the clock, which costs as much as a few spins

// Shared by threads; all of it is advice.
class SpinPolicy {
 public:
  // Costs a load while spinning works.
  bool may_spin() const { return !paused_.load(std::memory_order_relaxed); }
  // To be asked when may_spin() says no.
  bool try_again(std::uint64_t now_ns) {
    if (now_ns < paused_until_ns_.load(std::memory_order_relaxed)) return false;
    failures_.store(spin_failures_max - 1, std::memory_order_relaxed);  // one chance
    paused_.store(false, std::memory_order_relaxed);
    return true;
  }
  void succeeded() {
    if (failures_.load(std::memory_order_relaxed) == 0) return;  // the line stays shared
    failures_.store(0, std::memory_order_relaxed);
  }
  void got_nothing(std::uint64_t now_ns) {
    const auto failures = failures_.load(std::memory_order_relaxed) + 1;
    failures_.store(failures, std::memory_order_relaxed);
    if (failures >= spin_failures_max) held_up(now_ns);
  }
  void held_up(std::uint64_t now_ns) {
    paused_until_ns_.store(now_ns + spin_pause_ns, std::memory_order_relaxed);
    paused_.store(true, std::memory_order_relaxed);
  }

 private:
  std::atomic<bool> paused_{false};
  std::atomic<std::uint32_t> failures_{0};
  std::atomic<std::uint64_t> paused_until_ns_{0};
};

}  // namespace hive::cell
