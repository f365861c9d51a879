// The median of batches: what a measurement in a kernel comes to.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/time.h"

namespace hive::cell {

inline constexpr int measure_batches = 15;

// Not of an empty list.
inline double median_of(std::vector<double> figures) {
  const auto middle = figures.begin() + static_cast<std::ptrdiff_t>(figures.size() / 2);
  std::nth_element(figures.begin(), middle, figures.end());
  return *middle;
}

// Nanoseconds for each of about `count` calls of `operation`, which returns whether it worked; a
// failure ends it with -1.
template <class Operation>
double median_batch_ns(std::int64_t count, Operation operation) {
  const std::int64_t batch = std::max<std::int64_t>(1, count / measure_batches);
  bool sound = true;
  for (std::int64_t i = 0; sound && i < batch; ++i) sound = operation();  // warm
  std::vector<double> figures;
  for (int b = 0; sound && b < measure_batches; ++b) {
    const std::uint64_t begin = now_ns();
    for (std::int64_t i = 0; sound && i < batch; ++i) sound = operation();
    figures.push_back(static_cast<double>(now_ns() - begin) / static_cast<double>(batch));
  }
  return sound ? median_of(std::move(figures)) : -1;
}

}  // namespace hive::cell
