// What a process has become by attaching. Set once, before anything else can see it.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/ids.h"
#include "base/spin_policy.h"
#include "lib/view_table.h"
#include "machine/layout.h"
#include "machine/linux/fence.h"
#include "machine/node_header.h"

namespace hive::lib {

struct Membership {
  std::uint64_t process = 0;  // whose it is; see fork_guard.h
  std::string machine;
  std::string dir;  // runtime directory of the machine
  std::string program;
  CellId cell = -1;  // the task's own
  std::uint64_t task = 0;
  machine::Layout layout{};
  int span_index = 0;
  int span_count = 1;
  std::string span_id;

  const machine::NodeHeader* own_header() const { return machine::node_header(layout, cell); }
};

// What all calls of a session share.
struct CallState {
  CallState(int processors, const machine::Layout& layout)
      : spin(processors > 1), views(layout) {}
  std::atomic<std::uint32_t> closing{0};  // a futex; 1 once the session is being detached
  SpinPolicy spin;
  ViewTable views;
};

}  // namespace hive::lib
