// What a cell publishes of agreement: its board, as the others find it below the cell's root.
#pragma once

#include "cell/careful/changing.h"
#include "cell/heap/tagged_heap.h"
#include "cell/member/board.h"

namespace hive::cell {

struct MemberBoard {
  static constexpr std::uint32_t type = type_name("MBRD");
  TypeTag tag;
  Changing<Board> board;
};

}  // namespace hive::cell
