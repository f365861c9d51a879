// Whether a wait may begin by spinning. Spinning is the fastest way to wait on a processor of one's
// own and the slowest on a shared one, so it is tried, and given up for a while when it fails: when
// nothing came in the time that spinning is allowed, or when the loop itself was held up, which
// means that somebody else wants the processor.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/time.h"

namespace hive::cell {

inline constexpr std::uint64_t spin_max_ns = 50 * ns_per_us;
inline constexpr std::uint64_t spin_held_up_ns = 30 * ns_per_us;  // between two looks at the clock
inline constexpr std::uint64_t spin_pause_ns = 10 * ns_per_ms;    // without spinning after a failure
inline constexpr int spins_per_look = 16;  // at the clock, which costs as much as a few spins

// Shared by threads; all of it is advice.
class SpinPolicy {
 public:
  // Costs a load while spinning works.
  bool may_spin() const { return !paused_.load(std::memory_order_relaxed); }
  // To be asked when may_spin() says no.
  bool try_again(std::uint64_t now_ns) {
    if (now_ns < paused_until_ns_.load(std::memory_order_relaxed)) return false;
    paused_.store(false, std::memory_order_relaxed);
    return true;
  }
  void failed(std::uint64_t now_ns) {
    paused_until_ns_.store(now_ns + spin_pause_ns, std::memory_order_relaxed);
    paused_.store(true, std::memory_order_relaxed);
  }

 private:
  std::atomic<bool> paused_{false};
  std::atomic<std::uint64_t> paused_until_ns_{0};
};

}  // namespace hive::cell
