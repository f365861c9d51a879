// Time in nanoseconds: monotonic, and since 1970.
#pragma once

#include <cstdint>

#include <time.h>

namespace hive {

inline constexpr std::uint64_t ns_per_us = 1000;
inline constexpr std::uint64_t ns_per_ms = 1000 * 1000;
inline constexpr std::uint64_t ns_per_s = 1000 * 1000 * 1000;

inline std::int64_t ns_of(const timespec& time) noexcept {
  return static_cast<std::int64_t>(time.tv_sec) * static_cast<std::int64_t>(ns_per_s) +
         time.tv_nsec;
}

inline std::uint64_t now_ns() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(ns_of(t));
}

// What the clock on the wall says; it may jump.
inline std::int64_t wall_clock_ns() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return ns_of(t);
}

inline timespec to_timespec(std::uint64_t ns) noexcept {
  return {static_cast<time_t>(ns / ns_per_s), static_cast<long>(ns % ns_per_s)};
}

// Since 1970, or before.
inline timespec wall_timespec(std::int64_t ns) noexcept {
  constexpr auto second = static_cast<std::int64_t>(ns_per_s);
  const std::int64_t seconds = ns / second - (ns % second < 0 ? 1 : 0);
  return {seconds, ns - seconds * second};
}

// The processor's hint inside a loop that spins.
inline void cpu_relax() noexcept { __builtin_ia32_pause(); }

}  // namespace hive
