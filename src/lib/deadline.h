// From durations that a program gives to absolute deadlines.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/time.h"

namespace hive::lib {

// For calls that do not wait for anybody else: a cell that takes longer is taken for hung.
inline constexpr std::uint64_t call_timeout_ns = 10 * ns_per_s;
// "For ever", far enough from the end of what a timespec of Linux holds.
inline constexpr std::uint64_t wait_ns_max = std::uint64_t{100 * 365} * 24 * 3600 * ns_per_s;

inline std::uint64_t deadline_in(std::uint64_t ns) noexcept {
  return now_ns() + (ns < wait_ns_max ? ns : wait_ns_max);
}
// Negative waits are no waits.
inline std::uint64_t deadline_in(std::chrono::nanoseconds wait) noexcept {
  return wait.count() <= 0 ? now_ns() : deadline_in(static_cast<std::uint64_t>(wait.count()));
}

}  // namespace hive::lib
