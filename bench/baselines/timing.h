// How a baseline takes its figure: the median of batches, so that a moment in which somebody else
// had the processor does not count. Hive's own side does the same.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <sched.h>
#include <time.h>

namespace baseline {

inline double now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

inline double median_of(std::vector<double> figures) {
  const auto middle = figures.begin() + static_cast<std::ptrdiff_t>(figures.size() / 2);
  std::nth_element(figures.begin(), middle, figures.end());
  return *middle;
}

inline constexpr int batches = 15;

// Nanoseconds for each of about `count` calls of `operation`.
template <class Operation>
double median_batch_ns(std::int64_t count, Operation operation) {
  const std::int64_t batch = std::max<std::int64_t>(1, count / batches);
  for (std::int64_t i = 0; i < batch; ++i) operation();  // warm
  std::vector<double> figures;
  for (int b = 0; b < batches; ++b) {
    const double begin = now_ns();
    for (std::int64_t i = 0; i < batch; ++i) operation();
    figures.push_back((now_ns() - begin) / static_cast<double>(batch));
  }
  return median_of(std::move(figures));
}

// A negative number: wherever Linux wants.
inline void run_on(int processor) {
  if (processor < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(processor), &set);
  ::sched_setaffinity(0, sizeof set, &set);
}

inline void relax() { __builtin_ia32_pause(); }

}  // namespace baseline
