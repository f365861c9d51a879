// What survives a machine: its state directory, with the log and the disks of its nodes.
//   ${XDG_STATE_HOME:-~/.local/state}/hive/NAME/hive.log, hive.log.1, disk<N>/
#pragma once

#include <string>

#include "base/fd.h"
#include "monitor/refusal.h"

namespace hive::monitor {

std::string state_directory(const std::string& machine);
std::string log_file(const std::string& state_dir);

// Makes the directory and a disk for each node. Errors: exit_failed.
Outcome<void> make_state_directory(const std::string& state_dir, int nodes);

// Keeps the log of the machine before as hive.log.1, and opens a new one for appending.
Outcome<UniqueFd> open_log(const std::string& state_dir);

}  // namespace hive::monitor
