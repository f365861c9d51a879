// Everything about a machine that is decided before anything of it is started. A plan that was
// made fits the host: what can be refused is refused here, with the numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "machine/layout.h"
#include "machine/linux/fence.h"
#include "machine/sabotage.h"
#include "monitor/refusal.h"
#include "proto/runtime_dir.h"

namespace hive::monitor {

inline constexpr int default_cells = 4;
inline constexpr std::uint64_t default_memory_bytes = std::uint64_t{64} << 20;  // of each cell
inline constexpr std::uint64_t memory_bytes_min = std::uint64_t{1} << 20;

inline constexpr bool reboot_by_default = true;
// How often in a row a node may fail before it stays out; 0 for ever so often.
inline constexpr int default_tries = 3;
inline constexpr int tries_max = 1000;

struct BootOptions {
  std::string machine = proto::default_machine;
  int cells = default_cells;
  std::uint64_t memory_bytes = default_memory_bytes;  // user memory of each cell
  std::optional<machine::FirewallMode> firewall;      // nothing: the best that the host allows
  bool namespaces = true;                             // false: do without PID namespaces
  bool reboot = reboot_by_default;                    // a node that has died comes back by itself
  int tries = default_tries;
  std::vector<std::string> sabotage{};                // names of defences to turn off
  bool for_tests = false;                             // a machine that may be sabotaged
};

struct BootPlan {
  std::string machine;
  machine::Layout layout;
  machine::FirewallMode firewall = machine::FirewallMode::mmu;
  bool namespaces = true;
  std::vector<std::vector<int>> processors;  // CPU set of each node
  std::string machine_dir;                   // absolute
  std::string state_dir;                     // absolute
  std::string node_program;
  std::string kernel_program;
  std::string hive_program;  // for the next monitor, should this one die; empty for none
  std::string boot_id;       // another for each boot
  bool reboot = reboot_by_default;
  int tries = default_tries;
  machine::Sabotage sabotage;

  int cells() const { return static_cast<int>(layout.cells); }
};

// What can be judged without a look at the host: name, counts, layout, paths. Errors: exit_usage.
Outcome<BootPlan> plan_layout(const BootOptions& options);

// Completes a plan with what the host has and allows: memory, firewall, namespaces, processors,
// the programs. To be called by the holder of the machine's lock. Errors: exit_failed.
Outcome<void> fit_to_host(BootPlan& plan, const BootOptions& options);

}  // namespace hive::monitor
