#include "monitor/plan.h"

#include <cstring>
#include <filesystem>
#include <random>

#include <fmt/format.h>
#include <unistd.h>

#include "monitor/directories.h"
#include "monitor/host.h"
#include "monitor/sizes.h"

namespace hive::monitor {
namespace {

using machine::FirewallMode;

// Page tables, stacks and heaps of the processes of one node, and a word for each page of the
// machine in its own page tables.
constexpr std::uint64_t process_bytes_per_cell = std::uint64_t{4} << 20;

std::uint64_t bytes_needed(const machine::Layout& layout) {
  return (layout.kernel_bytes + layout.user_bytes + process_bytes_per_cell) * layout.cells;
}

// The most memory for each cell, in whole MiB, of which fits(layout) holds; 0 if there is none.
template <class Fits>
std::uint64_t most_for_each(int cells, Fits fits) {
  std::uint64_t good_mib = 0;
  std::uint64_t bad_mib = machine::machine_span_max >> 20;
  while (bad_mib - good_mib > 1) {
    const std::uint64_t mib = (good_mib + bad_mib) / 2;
    const machine::Layout layout = machine::make_layout(cells, mib << 20);
    (layout.stride != 0 && fits(layout) ? good_mib : bad_mib) = mib;
  }
  return good_mib << 20;
}

Outcome<void> check_options(const BootOptions& options) {
  if (!proto::is_machine_name(options.machine)) {
    return refuse(exit_usage, fmt::format("'{}' is no name for a machine: 1 to {} of a-z 0-9 _ -",
                                          options.machine, proto::machine_name_max));
  }
  if (options.cells < 1 || options.cells > max_cells) {
    return refuse(exit_usage,
                  fmt::format("a machine has 1 to {} cells, not {}", max_cells, options.cells));
  }
  if (options.memory_bytes == 0) {
    return refuse(exit_usage, fmt::format("a cell without memory is none: it needs at least {}",
                                          format_size(memory_bytes_min)));
  }
  if (options.memory_bytes < memory_bytes_min) {
    return refuse(exit_usage,
                  fmt::format("a cell needs at least {} of memory, not {}",
                              format_size(memory_bytes_min), format_size(options.memory_bytes)));
  }
  return {};
}

bool is_test_name(const std::string& name) { return name.rfind("test", 0) == 0; }

Outcome<machine::Sabotage> read_sabotage(const BootOptions& options) {
  machine::Sabotage sabotage;
  for (const std::string& name : options.sabotage) {
    if (sabotage.add(name)) continue;
    std::string all;
    for (const auto& defence : machine::Sabotage::defences()) {
      all += (all.empty() ? "" : ", ") + std::string(defence.name);
    }
    return refuse(exit_usage, fmt::format("'{}' is no defence; there are {}", name, all));
  }
  if (!options.sabotage.empty() && !options.for_tests && !is_test_name(options.machine)) {
    return refuse(exit_usage,
                  fmt::format("a defence is turned off on test machines only (--name test..., or "
                              "HIVE_TEST_MACHINE=1), not on '{}'",
                              options.machine));
  }
  return sabotage;
}

Outcome<void> check_memory(const machine::Layout& layout) {
  const HostMemory host = host_memory();
  const std::uint64_t need = bytes_needed(layout);
  if (need <= host.available) return {};
  std::string text =
      fmt::format("{} cells of {} need {}, and this host has {} to give", layout.cells,
                  format_size(layout.user_bytes), format_size(need), format_size(host.available));
  if (!host.limited_by.empty())
    text += fmt::format(" (limit of control group {})", host.limited_by);
  text += fmt::format(" of {}", format_size(host.total));
  const std::uint64_t most = most_for_each(
      static_cast<int>(layout.cells),
      [&](const machine::Layout& smaller) { return bytes_needed(smaller) <= host.available; });
  text += most < memory_bytes_min ? "; boot fewer cells"
                                  : fmt::format("; at most {} each", format_size(most));
  return refuse(exit_failed, text);
}

Outcome<FirewallMode> choose_firewall(std::optional<FirewallMode> wanted) {
  if (wanted == FirewallMode::cooperative) return FirewallMode::cooperative;
  const FirewallMode best = machine::probe_firewall_mode();
  if (best == FirewallMode::cooperative) {
    return refuse(
        exit_failed,
        "this host refuses userfaultfd, without which nothing stops one cell from writing "
        "another's memory.\nAllow it: in a container, with a seccomp profile that permits "
        "userfaultfd (docker run --security-opt seccomp=unconfined) or "
        "--device /dev/userfaultfd;\nelsewhere: sudo chmod 666 /dev/userfaultfd\nOr go "
        "without protection between cells: hive boot --firewall=cooperative");
  }
  if (wanted == FirewallMode::mmu && best != FirewallMode::mmu) {
    return refuse(exit_failed,
                  "this kernel has no UFFDIO_CONTINUE_MODE_WP, which --firewall=mmu "
                  "needs; --firewall=mmu-windowed works");
  }
  return wanted.value_or(best);
}

Outcome<void> find_programs(BootPlan& plan) {
  plan.node_program = helper_program("hive-node");
  plan.kernel_program = helper_program("hive-cell");
  for (const std::string& program : {plan.node_program, plan.kernel_program}) {
    if (::access(program.c_str(), X_OK) != 0) {
      return refuse(exit_failed,
                    fmt::format("{} can not be started: {}", program, std::strerror(errno)));
    }
  }
  // Only the command knows `monitor --adopt`, not whoever else has a monitor in it.
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error && self.filename() == "hive") plan.hive_program = self.string();
  return {};
}

std::string make_boot_id() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

}  // namespace

Outcome<BootPlan> plan_layout(const BootOptions& options) {
  if (auto done = check_options(options); !done) return tl::unexpected(done.error());
  const auto sabotage = read_sabotage(options);
  if (!sabotage) return tl::unexpected(sabotage.error());
  BootPlan plan;
  plan.machine = options.machine;
  plan.sabotage = *sabotage;
  // Beyond the span of the machine the sums of make_layout() could wrap.
  if (options.memory_bytes <= machine::machine_span_max) {
    plan.layout = machine::make_layout(options.cells, options.memory_bytes);
  }
  if (plan.layout.stride == 0) {
    const std::uint64_t most =
        most_for_each(options.cells, [](const machine::Layout&) { return true; });
    return refuse(exit_usage,
                  fmt::format("{} cells of {} do not fit into the {} of addresses that a "
                              "machine has; at most {} each",
                              options.cells, format_size(options.memory_bytes),
                              format_size(machine::machine_span_max), format_size(most)));
  }
  plan.machine_dir = std::filesystem::absolute(proto::machine_dir(options.machine)).string();
  plan.state_dir = state_directory(options.machine);
  plan.boot_id = make_boot_id();
  plan.reboot = options.reboot;
  plan.tries = options.tries;
  return plan;
}

Outcome<void> fit_to_host(BootPlan& plan, const BootOptions& options) {
  if (auto done = find_programs(plan); !done) return done;
  if (auto done = check_memory(plan.layout); !done) return done;
  const auto firewall = choose_firewall(options.firewall);
  if (!firewall) return tl::unexpected(firewall.error());
  plan.firewall = *firewall;
  plan.namespaces = options.namespaces && host_allows_namespaces();
  plan.processors = share_processors(allowed_processors(), plan.cells());
  return {};
}

}  // namespace hive::monitor
