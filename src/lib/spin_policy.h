// When to spin for a reply, and for how long.
//
// A reply of a cell that runs on another processor comes within microseconds; sleeping for it
// costs several times as much. But spinning on a processor that the cell itself needs only keeps
// the reply away. Nobody tells us which it is, so we look: when time jumps between two looks, this
// thread was off its processor, somebody else wanted it, and nobody here spins for a while.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/time.h"

namespace hive::lib {

inline constexpr std::uint64_t spin_ns_max = 50 * ns_per_us;
inline constexpr std::uint64_t spin_gap_ns = 30 * ns_per_us;
inline constexpr std::uint64_t spin_pause_ns = 10 * ns_per_ms;
inline constexpr int spin_looks_per_clock = 8;

// Thread-safe and async-signal-safe.
class SpinPolicy {
 public:
  // `processors` that this process may run on; with one, spinning is never worth it.
  explicit SpinPolicy(int processors) noexcept : enabled_(processors > 1) {}

  // Looks until done() or until it is not worth it any longer. Returns the last done().
  template <class Done>
  bool spin(Done done) noexcept {
    if (done()) return true;
    if (!enabled_) return false;
    const std::uint64_t begin = now_ns();
    if (begin < not_before_ns_.load(std::memory_order_relaxed)) return false;
    std::uint64_t last = begin;
    while (last - begin < spin_ns_max) {
      for (int i = 0; i < spin_looks_per_clock; ++i) {
        if (done()) return true;
        cpu_relax();
      }
      const std::uint64_t now = now_ns();
      if (now - last > spin_gap_ns) {
        not_before_ns_.store(now + spin_pause_ns, std::memory_order_relaxed);
        break;
      }
      last = now;
    }
    return done();
  }

 private:
  const bool enabled_;
  std::atomic<std::uint64_t> not_before_ns_{0};
};

}  // namespace hive::lib
