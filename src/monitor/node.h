// One node as the monitor sees it: its power process, and the channel to its kernel.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include <hive/error.h>
#include "base/fd.h"

namespace hive::monitor {

enum class Stage : std::uint8_t {
  starting,   // processes were started
  ready,      // the kernel has its memory and its socket
  connected,  // it has mapped all other nodes
  up,         // it serves
  gone,       // the power process is dead
};

struct Node {
  int id = -1;
  Stage stage = Stage::starting;
  int power_pid = -1;
  UniqueFd power_pidfd;
  UniqueFd channel;       // closed when the kernel has closed its end
  UniqueFd kernel_pidfd;  // from `ready` on
  int kernel_pid = -1;
  std::string cause;  // why it failed, as far as it said

  bool is_alive() const { return stage != Stage::gone; }
};

// Sends one message to the kernel; false when it can not be delivered now.
bool tell(Node& node, const nlohmann::json& message);

// The node's power switch. The node is off when its pidfd says so.
void power_off(Node& node);

// Collects the dead power process. Returns how it ended, in words.
std::string reap(Node& node);

}  // namespace hive::monitor
