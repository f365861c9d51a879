// Rows of `hive bench` about the death of a cell: one of the four is killed, or hangs, and comes
// back before the next figure is taken.
#pragma once

#include <vector>

#include "cli/bench_rows.h"

namespace hive::cli {

void add_recovery(std::vector<BenchRow>& rows);

}  // namespace hive::cli
