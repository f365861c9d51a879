// What the whole machine looks like from this cell: read out of the kernel memory of every live
// cell by careful reference, so that a cell that hangs can be looked at too. No message is sent.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/ids.h"
#include "cell/boot/config.h"
#include "cell/careful/careful.h"
#include "cell/control/cell_roots.h"
#include "cell/member/membership.h"
#include "cell/task/task_table.h"

namespace hive::cell {

// Where a segment is, as its home publishes it.
struct FoundSegment {
  CellId home = -1;
  std::uint64_t id = 0;
};

class Survey {
 public:
  // Checks that fail are hints to `membership`.
  Survey(const Config& config, Membership& membership);

  // Called by the control thread when a cell has been attached to: its pid, which is shown for it
  // after it is gone. What was counted for an earlier incarnation is forgotten.
  void note_peer(CellId cell, std::uint64_t incarnation, std::int32_t pid);

  nlohmann::json status();  // the answer to `status`, see control.h
  nlohmann::json tasks();   // the answer to `ps`

  // What the memory of a dead cell still shows: {tasks, segments}, as far as it can be read.
  nlohmann::json left_by(CellId cell);

  // The live segment of this name on that cell. Errors: not_found, and those of CarefulReader.
  Result<FoundSegment> find_segment(CellId cell, std::string_view name);

  CarefulCounters& counters(CellId cell) { return counters_[static_cast<std::size_t>(cell)]; }

 private:
  CarefulReader reader_of(CellId cell);
  Result<CellRoots> roots_of(CellId cell);
  Result<void> add_tasks(CellId cell, nlohmann::json& tasks);
  nlohmann::json cell_status(CellId cell, CellSet live);
  void add_windows(const CarefulReader& reader, const CellRoots& roots, nlohmann::json& exposure);
  void add_blocked(const CarefulReader& reader, const CellRoots& roots, nlohmann::json& blocked);
  nlohmann::json dead_cell(CellId cell);
  void add_node_record(CellId cell, nlohmann::json& json) const;

  const Config& config_;
  const Membership& membership_;
  std::array<std::int32_t, max_cells> pids_{};
  std::array<std::uint64_t, max_cells> incarnations_{};
  std::array<CarefulCounters, max_cells> counters_{};
};

}  // namespace hive::cell
