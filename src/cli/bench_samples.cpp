#include "cli/bench_samples.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

namespace hive::cli {
namespace {

// Of a list that is not empty; between two neighbours it takes a part of each.
double percentile(std::vector<double> values, double share) {
  std::ranges::sort(values);
  const double place = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  const double part = place - static_cast<double>(below);
  return std::lerp(values[below], values[above], part);
}

std::optional<double> median_if_any(const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  return percentile(values, 0.5);
}

}  // namespace

BenchBound ratio_at_most(double most) {
  return {fmt::format("{:g}x", most),
          [most](const BenchFigures& f) { return f.ratio && *f.ratio <= most; }};
}

BenchBound value_at_most(double most, std::string text) {
  return {std::move(text), [most](const BenchFigures& f) { return f.value <= most; }};
}

BenchFigures summarize(const std::vector<BenchPair>& pairs, bool mean) {
  std::vector<double> values;
  std::vector<double> baselines;
  std::vector<double> ratios;
  std::vector<double> rpcs;
  for (const BenchPair& pair : pairs) {
    values.push_back(pair.value);
    if (pair.rpc) rpcs.push_back(*pair.rpc);
    if (!pair.baseline) continue;
    baselines.push_back(*pair.baseline);
    if (*pair.baseline > 0) ratios.push_back(pair.value / *pair.baseline);
  }
  BenchFigures figures;
  const double median = percentile(values, 0.5);
  figures.value = mean ? std::accumulate(values.begin(), values.end(), 0.0) /
                             static_cast<double>(values.size())
                       : median;
  const double width = percentile(values, 0.9) - percentile(values, 0.1);
  figures.spread = figures.value > 0 ? width / figures.value : 0;
  figures.baseline = median_if_any(baselines);
  figures.ratio = median_if_any(ratios);
  figures.rpc = median_if_any(rpcs);
  return figures;
}

}  // namespace hive::cli
