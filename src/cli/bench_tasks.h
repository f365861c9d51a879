// Figures of `hive bench` that are taken by running programs as tasks.
#pragma once

#include "cli/bench_rows.h"

namespace hive::cli {

// What hive-bench-task measures, as a task of cell 0, on a segment whose home is `home`.
BenchFigure task_figure(const char* what, int home, int count);

// How long a record of 64 bytes takes through a ring from a task of one cell to one of another.
BenchFigure oneway_figure(bool asleep, int count);

// From the request to run /bin/true on the cell until its end is known.
BenchFigure start_figure(int cell, int count);

// The wall time of a small picture: on this many cells, and with as many plain threads.
BenchFigure raytrace_figure(int cells);
BenchFigure raytrace_threads_figure(int threads);

}  // namespace hive::cli
