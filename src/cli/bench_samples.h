// What measured pairs come to: medians, their spread, and whether a bound holds.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace hive::cli {

// One pair: Hive's figure and that of its baseline, taken one right after the other. In
// nanoseconds, or in the row's own unit.
struct BenchPair {
  double value = 0;
  std::optional<double> baseline;
  std::optional<double> rpc;  // a null RPC in the same conditions, for bounds that count from it
};

struct BenchFigures {
  double value = 0;
  double spread = 0;  // (90th - 10th percentile) / median, of the values
  std::optional<double> baseline;
  std::optional<double> ratio;  // median of the ratios of the pairs
  std::optional<double> rpc;
};

// What a row has to hold; `text` says it to people.
struct BenchBound {
  std::string text;
  std::function<bool(const BenchFigures&)> holds;
};

BenchBound ratio_at_most(double most);
BenchBound value_at_most(double most, std::string text);

// Of at least one pair. `mean`: of values that are short slices of one long measurement.
BenchFigures summarize(const std::vector<BenchPair>& pairs, bool mean = false);

}  // namespace hive::cli
