// What `hive bench` prints.
#pragma once

#include <string>
#include <vector>

#include "cli/bench_rows.h"
#include "cli/bench_samples.h"

namespace hive::cli {

struct BenchResult {
  const BenchRow* row = nullptr;
  int pairs = 0;
  BenchFigures figures;

  // Nothing: the row has no bound.
  std::optional<bool> holds() const {
    if (!row->bound) return std::nullopt;
    return row->bound->holds(figures);
  }
};

// Columns for people, and a last line that counts.
void print_bench_table(const std::vector<BenchResult>& results);

// {"rows": [...], "host": {...}}; times in nanoseconds.
void print_bench_json(const std::vector<BenchResult>& results, const std::string& firewall);

}  // namespace hive::cli
