// The boot record, machine.json in the runtime directory: what a machine was booted with. Written
// before the first node starts, and again by a monitor that takes over, with its own number; read
// by kernels, by libhive and by `hive`.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "monitor/plan.h"
#include "monitor/refusal.h"

namespace hive::monitor {

const char* version();  // of this build of Hive

// Never seen half written: it is renamed into place. Errors: exit_failed.
Outcome<void> write_boot_record(const BootPlan& plan, int monitor_pid);

// The record of a machine, or null when there is none that can be read.
nlohmann::json read_boot_record(const std::string& machine_dir);

// The plan of a machine that runs, for a monitor that takes over. Errors: exit_failed.
Outcome<BootPlan> read_plan(const std::string& machine_dir);

}  // namespace hive::monitor
