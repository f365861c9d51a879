#include "cli/run_place.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace hive::cli {
namespace {

using monitor::refuse;

// Tasks of each cell, for the cells that are up.
Outcome<std::map<int, std::int64_t>> load_of_cells(const Machine& machine) {
  const auto status = ask_any(machine, {{"op", "status"}});
  if (!status) return tl::unexpected(status.error());
  std::map<int, std::int64_t> load;
  for (const Json& cell : list_of(*status, "cells")) {
    if (text_of(cell, "state") != "up") continue;
    load[static_cast<int>(number_of(cell, "id", -1))] = number_of(cell, "tasks");
  }
  return load;
}

}  // namespace

Outcome<std::vector<int>> cells_by_load(const Machine& machine) {
  const auto load = load_of_cells(machine);
  if (!load) return tl::unexpected(load.error());
  std::vector<int> cells;
  for (const auto& [cell, tasks] : *load) cells.push_back(cell);
  std::stable_sort(cells.begin(), cells.end(),
                   [&](int a, int b) { return load->at(a) < load->at(b); });
  if (cells.empty()) {
    return refuse(monitor::exit_not_running,
                  fmt::format("no cell of machine '{}' is up", machine.name));
  }
  return cells;
}

Outcome<std::vector<int>> cells_of_span(const Machine& machine, int count) {
  if (count > machine.cells) {
    return refuse(monitor::exit_usage, fmt::format("--span {}: machine '{}' has {} cells", count,
                                                   machine.name, machine.cells));
  }
  auto cells = cells_by_load(machine);
  if (!cells) return cells;
  const auto wanted = static_cast<std::size_t>(count);
  if (wanted > cells->size()) {
    return refuse(monitor::exit_failed,
                  fmt::format("--span {}: only {} of the {} cells of machine '{}' are up", count,
                              cells->size(), machine.cells, machine.name));
  }
  if (count > 0) cells->resize(wanted);
  std::sort(cells->begin(), cells->end());
  return cells;
}

}  // namespace hive::cli
