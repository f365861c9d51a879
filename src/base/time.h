// Time in nanoseconds: monotonic, and since 1970.
#pragma once

#include <cstdint>

#include <time.h>

namespace hive {

inline constexpr std::uint64_t ns_per_us = 1000;
inline constexpr std::uint64_t ns_per_ms = 1000 * 1000;
inline constexpr std::uint64_t ns_per_s = 1000 * 1000 * 1000;

inline std::uint64_t now_ns() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * ns_per_s + static_cast<std::uint64_t>(t.tv_nsec);
}

// What the clock on the wall says; it may jump.
inline std::int64_t wall_clock_ns() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<std::int64_t>(t.tv_sec) * static_cast<std::int64_t>(ns_per_s) + t.tv_nsec;
}

inline timespec to_timespec(std::uint64_t ns) noexcept {
  return {static_cast<time_t>(ns / ns_per_s), static_cast<long>(ns % ns_per_s)};
}

// The processor's hint inside a loop that spins.
inline void cpu_relax() noexcept { __builtin_ia32_pause(); }

}  // namespace hive
