// The rows of `hive bench`: for each, how its figure and that of its baseline are taken, and what
// it has to hold.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench_machine.h"
#include "cli/bench_samples.h"

namespace hive::cli {

// Where a row measures: on cell 0, and on cell 1 where a second one takes part.
struct BenchPlace {
  const BenchMachine& machine;
  int own_processor = 0;  // of the kernel of cell 0 and of the baselines, in rows that are pinned
  int other_processor = 0;  // of the kernel of cell 1 and of the baselines' other process
  std::uint64_t small = 0;  // addresses of what cell 1 has published to be read
  std::uint64_t large = 0;
  std::uint64_t list = 0;
};

using BenchFigure = std::function<Outcome<double>(const BenchPlace&)>;

enum class BenchUnit : std::uint8_t { ns, percent };

struct BenchRow {
  std::string name;
  std::string against;  // what the baseline is, in words; empty: there is none
  BenchFigure value;
  BenchFigure baseline;
  std::optional<BenchBound> bound = std::nullopt;
  // A kernel waits for another on a processor of its own, as its baseline does: with fewer than
  // two processors there is nothing to compare. Other rows go where Linux puts them, as tasks do.
  bool pinned = false;
  BenchFigure rpc = nullptr;  // where the bound counts from a null RPC
  BenchUnit unit = BenchUnit::ns;
};

std::vector<BenchRow> bench_rows();

}  // namespace hive::cli
