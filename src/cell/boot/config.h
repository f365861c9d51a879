// What a kernel is told when it starts: its command line and the machine's boot record.
#pragma once

#include <cstdint>
#include <string>

#include <hive/error.h>
#include "base/ids.h"
#include "machine/layout.h"
#include "machine/linux/fence.h"
#include "machine/sabotage.h"

namespace hive::cell {

struct Config {
  std::string machine;       // its name
  std::string machine_dir;   // runtime directory: sockets, boot record, panic records
  std::string state_dir;     // survives the machine: log, disks
  CellId self = -1;
  std::uint64_t incarnation = 0;
  machine::Layout layout;
  machine::FirewallMode firewall = machine::FirewallMode::mmu;
  std::string boot_id;         // another for each boot of the machine
  std::string hive_program;    // starts a new monitor when that dies; empty: nobody does
  machine::Sabotage sabotage;  // defences that are turned off, on test machines only

  // Started anew beside cells that run, and not with all of them.
  bool joins() const { return incarnation > 1; }
  std::string socket_path(CellId cell) const {
    return machine_dir + "/cell" + std::to_string(cell) + ".sock";
  }
  // The disk of the node: a directory that the monitor has made.
  std::string disk_path() const { return state_dir + "/disk" + std::to_string(self); }
  std::string panic_path(CellId cell) const {
    return machine_dir + "/panic." + std::to_string(cell);
  }
};

// Reads `--machine-dir DIR --cell N --incarnation I` and DIR/machine.json. Errors: bad_argument.
Result<Config> read_config(int argc, char** argv);

}  // namespace hive::cell
