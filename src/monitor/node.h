// One node as the monitor sees it: its power process, and the channel to its kernel.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include <hive/error.h>
#include "base/fd.h"

namespace hive::monitor {

enum class Stage : std::uint8_t {
  adopting,   // it was started by a monitor that died, and has not answered this one yet
  starting,   // processes were started
  ready,      // the kernel has its memory and its socket
  connected,  // it has mapped all other nodes
  up,         // it serves
  gone,       // the power process is dead
};

// A node that has died and is to come back.
struct Comeback {
  bool wanted = false;              // to be started when its turn comes: one at a time
  bool under_way = false;           // started, and not part of the machine yet
  bool unsound = false;             // its kernel said that a check has failed
  std::uint64_t deadline_ns = 0;    // of the start that is under way
  std::uint64_t up_at_ns = 0;       // of the last one that succeeded
  std::uint64_t deaths_before = 0;  // of other nodes, when it began
  int failures = 0;
};

struct Drain {
  bool under_way = false;
  bool again = false;             // start it anew afterwards
  std::uint64_t deadline_ns = 0;  // switched off then
};

struct Node {
  int id = -1;
  Stage stage = Stage::starting;
  int power_pid = -1;
  UniqueFd power_pidfd;
  UniqueFd channel;       // closed when the kernel has closed its end
  UniqueFd kernel_pidfd;  // from `ready` on
  int kernel_pid = -1;
  UniqueFd start_report;  // readable once it is known whether its processes could be started
  UniqueFd adoption;      // to the kernel's socket, while adopting
  std::uint64_t incarnation = 1;
  Comeback comeback;
  Drain drain;
  std::string out;    // why it is not to be started again unless somebody says so
  std::string cause;  // why it failed, as far as it said

  bool is_alive() const { return stage != Stage::gone; }
  // Whether it is part of the machine, and not just on its way back.
  bool is_member() const { return is_alive() && !comeback.under_way; }
};

// Sends one message to the kernel; false when it can not be delivered now.
bool tell(Node& node, const nlohmann::json& message);

// The node's power switch. The node is off when its pidfd says so.
void power_off(Node& node);

// Collects the dead power process. Returns how it ended, in words.
std::string reap(Node& node);

}  // namespace hive::monitor
