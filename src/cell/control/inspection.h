// Reads all that another cell publishes, by careful reference, only to see whether it holds
// together: so that corrupt data is noticed soon, and not only once somebody needs it, and so that
// each voter can look for itself when a cell is accused of it.
//
// What is inspected: the fixed part of the node's header, the cell's root, its tasks, its home's
// root, frames, segments, windows. The board is read by BoardReader, rings by SIPS, all the time.
#pragma once

#include <array>
#include <cstdint>

#include <hive/error.h>
#include "base/ids.h"
#include "cell/careful/careful.h"
#include "cell/home/published.h"
#include "machine/layout.h"
#include "machine/sabotage.h"

namespace hive::cell {

class Inspection {
 public:
  Inspection(const machine::Layout& layout, CellId self, const machine::Sabotage& sabotage)
      : layout_(layout), self_(self), sabotage_(sabotage) {}

  // One thread at a time; never blocks, and is bounded by the tables' bounds. Errors: corrupt (a
  // check failed), cell_down (bus error), busy (it was changing all the time: says nothing).
  Result<void> inspect(CellId cell, std::uint64_t incarnation);

  // What its checks came to. Any thread.
  const CarefulCounters& counters(CellId cell) const {
    return counters_[static_cast<std::size_t>(cell)];
  }

 private:
  Result<void> inspect_frames(const CarefulReader& reader, std::uint64_t pfdats) const;
  Result<void> inspect_cache(const CarefulReader& reader, std::uint64_t table) const;
  Result<void> inspect_tasks(const CarefulReader& reader, std::uint64_t head) const;
  Result<void> inspect_segments(const CarefulReader& reader, std::uint64_t home_root) const;
  Result<void> inspect_windows(const CarefulReader& reader, std::uint64_t table) const;
  bool is_window(const WindowRecord& seen) const;
  bool are_pages(std::uint64_t first, std::uint64_t count) const {
    return first <= layout_.user_pages() && count <= layout_.user_pages() - first;
  }

  const machine::Layout layout_;
  const CellId self_;
  const machine::Sabotage sabotage_;
  std::array<CarefulCounters, max_cells> counters_{};
};

}  // namespace hive::cell
