// Messages of one cell that made no sense: a single one is dropped and counted, a burst is a hint.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/time.h"

namespace hive::cell {

inline constexpr std::uint32_t garbage_burst = 8;  // messages, in so much time
inline constexpr std::uint64_t garbage_burst_ns = 1'000 * ns_per_ms;

// Any thread; a count that is off by one does no harm.
class GarbageCount {
 public:
  // One more; true once in a burst.
  bool is_burst(std::uint64_t now) {
    if (now - began_ns_.load(std::memory_order_relaxed) > garbage_burst_ns) {
      began_ns_.store(now, std::memory_order_relaxed);
      count_.store(0, std::memory_order_relaxed);
    }
    return count_.fetch_add(1, std::memory_order_relaxed) + 1 == garbage_burst;
  }

 private:
  std::atomic<std::uint64_t> began_ns_{0};
  std::atomic<std::uint32_t> count_{0};
};

}  // namespace hive::cell
