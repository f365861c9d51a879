// How a task takes a figure, and ends when it cannot.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <type_traits>
#include <utility>
#include <vector>

#include <hive/hive.h>

namespace bench {

inline constexpr int batches = 15;

[[noreturn]] inline void stop(const char* what, const hive::Error& error) {
  std::fprintf(stderr, "hive-bench-task: %s: %s\n", what, error.message().c_str());
  std::exit(1);
}
template <class T>
T must(const char* what, hive::Result<T> result) {
  if (!result) stop(what, result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

inline double now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::nano>(now).count();
}

inline double median_of(std::vector<double> figures) {
  const auto middle = figures.begin() + static_cast<std::ptrdiff_t>(figures.size() / 2);
  std::nth_element(figures.begin(), middle, figures.end());
  return *middle;
}

// As the baselines do it: the median of batches.
template <class Operation>
double median_batch_ns(int count, Operation operation) {
  const int batch = std::max(1, count / batches);
  for (int i = 0; i < batch; ++i) operation();  // warm
  std::vector<double> figures;
  for (int b = 0; b < batches; ++b) {
    const double begin = now_ns();
    for (int i = 0; i < batch; ++i) operation();
    figures.push_back((now_ns() - begin) / batch);
  }
  return median_of(std::move(figures));
}

struct Record {
  std::uint64_t words[8] = {};
};

}  // namespace bench
