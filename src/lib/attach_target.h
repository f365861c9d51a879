// Which machine and cell a process means when it attaches: what it says, else its environment.
#pragma once

#include <cstdint>
#include <string>

#include <hive/error.h>
#include <hive/session.h>
#include "base/ids.h"

namespace hive::lib {

struct AttachTarget {
  std::string machine;       // its name
  std::string dir;           // its runtime directory
  CellId cell = -1;          // -1: the lowest that answers
  std::uint64_t cookie = 0;  // not 0: `hive run` started this process for just this cell
};

// Errors: bad_argument (a name, a cell), not_found (no such machine runs here).
Result<AttachTarget> attach_target(const AttachOptions& options);

// The name of this process's program, as the cell gets it.
std::string program_name();

}  // namespace hive::lib
