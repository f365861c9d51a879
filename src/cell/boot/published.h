// The root of what a cell publishes in its kernel memory. Other cells find it through the node's
// header and read everything below it by careful reference.
#pragma once

#include <cstdint>

#include "cell/heap/tagged_heap.h"
#include "cell/task/task_table.h"

namespace hive::cell {

// ending: with the whole machine, as ordered.
enum class CellState : std::uint32_t { booting = 1, up = 2, draining = 3, ending = 4 };

struct CellRoot {
  static constexpr std::uint32_t type = type_name("ROOT");
  TypeTag tag;
  std::int32_t cell = -1;
  std::int32_t pid = 0;
  std::uint64_t home_root = 0;  // address of the HomeRoot: segments, windows, blocked stores
  std::uint64_t member_board = 0;  // address of the MemberBoard
  TaskList tasks;
};

}  // namespace hive::cell
