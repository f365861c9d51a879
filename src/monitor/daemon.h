// Booting a machine from a command: in the foreground, or in a daemon that the command waits for.
#pragma once

#include <functional>
#include <string>

#include "monitor/plan.h"
#include "monitor/refusal.h"

namespace hive::monitor {

// What a caller may say about a machine that has come up.
struct Booted {
  machine::FirewallMode firewall = machine::FirewallMode::mmu;
  bool namespaces = true;
  machine::Layout layout;
};

// Starts the machine with a monitor of its own, in a session of its own, and returns when all
// cells are up. When it returns an error nothing is left running.
Outcome<Booted> boot_in_background(const BootOptions& options);

// The same with this process as the monitor; `report` is called once, when all cells are up.
// Returns the exit status when the machine is down. Its log goes to standard error too.
Outcome<int> boot_in_foreground(const BootOptions& options,
                                const std::function<void(const Booted&)>& report);

// This process, which a kernel has started, becomes the monitor of the machine in `machine_dir`,
// whose own has died. `lock`: the machine's lock. Returns the exit status when the machine is
// down, at once when there is a monitor already.
int take_over(const std::string& machine_dir, int lock);

}  // namespace hive::monitor
