// The clock that all processes of the host share, in nanoseconds.
#pragma once

#include <cstdint>
#include <ctime>

namespace hive::campaign {

inline std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace hive::campaign
