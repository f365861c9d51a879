// On which cells a run takes place.
#pragma once

#include <vector>

#include "cli/ask.h"

namespace hive::cli {

// The cells that are up with the fewest tasks first, then the lowest numbers.
Outcome<std::vector<int>> cells_by_load(const Machine& machine);

// The cells of a span: the `count` least loaded ones, or with 0 all that are up; in ascending
// order. Errors: exit_usage (more than the machine has), exit_failed (more than are up), those of
// ask_any.
Outcome<std::vector<int>> cells_of_span(const Machine& machine, int count);

}  // namespace hive::cli
