// A process's side of attach.h: from a cell's socket to memory that is mapped behind its fence.
#pragma once

#include <cstdint>
#include <string>

#include <hive/error.h>
#include "base/fd.h"
#include "base/ids.h"
#include "lib/request_page.h"
#include "machine/layout.h"
#include "machine/linux/fence.h"
#include "proto/attach.h"

namespace hive::lib {

struct HandshakeWish {
  std::string dir;   // runtime directory of the machine
  CellId cell = -1;  // to attach to
  CellId own_cell = -1;
  std::uint64_t task = 0;  // 0: attaches to its own cell, which numbers it
  std::uint64_t cookie = 0;
  std::string program;
  const machine::Layout* layout = nullptr;  // null: whatever the cell says; else it must agree
};

// What a welcome said, checked: the layout holds together, and `replies` lies in the cell's
// memory.
struct Attached {
  proto::AttachWelcome welcome;
  UniqueFd connection;
  UniqueFd doorbell;
  RequestPage requests;
  machine::Fence fence;
};

// Blocks until deadline_ns at most. The machine's range is reserved when it returns a value.
// Errors: not_found (nothing of that cell is there), cell_down (nobody answers on its socket, or
// it hangs up), timed_out, version, corrupt (an answer that makes no sense), exhausted, host, and
// what the cell refuses with.
Result<Attached> shake_hands(const HandshakeWish& wish, std::uint64_t deadline_ns);

// Whether a layout can be true: sizes, order, bounds. For what comes from another process.
bool is_sound(const machine::Layout& layout);

}  // namespace hive::lib
