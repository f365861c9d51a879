// Where everything that a cell publishes hangs: copies of the node's header and of the roots of
// the cell and of its home, read by careful reference.
#pragma once

#include <hive/error.h>
#include "cell/boot/published.h"
#include "cell/careful/careful.h"
#include "cell/home/published.h"
#include "machine/node_header.h"

namespace hive::cell {

struct CellRoots {
  CarefulCopy<machine::NodeHeader> header;
  CarefulCopy<CellRoot> cell;
  CarefulCopy<HomeRoot> home;
};
// Of the reader's cell. Errors: those of CarefulReader.
Result<CellRoots> read_roots(const CarefulReader& reader, const machine::Layout& layout);

}  // namespace hive::cell
