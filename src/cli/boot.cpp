// hive boot: starts a machine and returns once all cells are up.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/command.h"
#include "monitor/daemon.h"
#include "monitor/sizes.h"

namespace hive::cli {
namespace {

using machine::FirewallMode;

// Allows --sabotage on a machine of any name.
constexpr const char* test_machine_variable = "HIVE_TEST_MACHINE";

struct BootArguments {
  std::string cells = std::to_string(monitor::default_cells);
  std::string memory = "64M";
  std::string firewall = "auto";
  std::string name = proto::default_machine;
  bool foreground = false;
  bool no_namespaces = false;
  bool no_reboot = false;
  std::string tries = std::to_string(monitor::default_tries);
  std::vector<std::string> sabotage;
};

monitor::BootOptions read_options(const BootArguments& arguments) {
  monitor::BootOptions options;
  options.machine = arguments.name;
  options.cells = number_option("--cells", arguments.cells, 1, max_cells);
  const auto memory = monitor::parse_size(arguments.memory);
  if (!memory) {
    throw CLI::ValidationError(
        fmt::format("--memory wants a size such as 64M or 1G, not '{}'", arguments.memory),
        CLI::ExitCodes::ValidationError);
  }
  options.memory_bytes = *memory;
  for (const FirewallMode mode :
       {FirewallMode::mmu, FirewallMode::mmu_windowed, FirewallMode::cooperative}) {
    if (arguments.firewall == machine::firewall_mode_name(mode)) options.firewall = mode;
  }
  if (!options.firewall && arguments.firewall != "auto") {
    throw CLI::ValidationError(
        fmt::format("--firewall is auto, mmu, mmu-windowed or cooperative, not '{}'",
                    arguments.firewall),
        CLI::ExitCodes::ValidationError);
  }
  options.namespaces = !arguments.no_namespaces;
  options.reboot = !arguments.no_reboot;
  options.tries = number_option("--tries", arguments.tries, 0, monitor::tries_max);
  options.sabotage = arguments.sabotage;
  const char* for_tests = std::getenv(test_machine_variable);
  options.for_tests = for_tests != nullptr && std::strcmp(for_tests, "1") == 0;
  return options;
}

void report(const std::string& name, const monitor::Booted& booted) {
  fmt::print("machine '{}' is up: {} cell{} of {}, firewall {}{}\n", name, booted.layout.cells,
             booted.layout.cells == 1 ? "" : "s", monitor::format_size(booted.layout.user_bytes),
             machine::firewall_mode_name(booted.firewall),
             booted.namespaces ? "" : ", without PID namespaces");
  std::fflush(stdout);
}

int boot(const BootArguments& arguments) {
  const monitor::BootOptions options = read_options(arguments);
  if (!arguments.foreground) {
    const auto booted = monitor::boot_in_background(options);
    if (!booted) return complain(booted.error());
    report(options.machine, *booted);
    return monitor::exit_ok;
  }
  const auto status = monitor::boot_in_foreground(
      options, [&](const monitor::Booted& booted) { report(options.machine, booted); });
  return status ? *status : complain(status.error());
}

}  // namespace

void add_boot(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<BootArguments>();
  CLI::App* command = app.add_subcommand("boot", "Start a machine; returns once all cells are up");
  command->add_option("--cells", arguments->cells, "Number of cells, 1 to 64")
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--memory", arguments->memory, "Memory of each cell, with suffix K, M or G")
      ->type_name("SIZE")
      ->capture_default_str();
  add_name(*command, arguments->name);
  command->add_flag("--foreground", arguments->foreground, "Stay; Ctrl-C shuts the machine down");
  command
      ->add_option("--firewall", arguments->firewall,
                   "auto, mmu, mmu-windowed, or cooperative (no protection between cells)")
      ->type_name("MODE")
      ->capture_default_str();
  command->add_flag("--no-namespaces", arguments->no_namespaces, "Do without PID namespaces");
  command->add_flag("--no-reboot", arguments->no_reboot,
                    "Leave a cell that has died down, until `hive reboot`");
  command
      ->add_option("--tries", arguments->tries,
                   "How often in a row a cell may fail before it stays out; 0: for ever")
      ->type_name("N")
      ->capture_default_str();
  command
      ->add_option("--sabotage", arguments->sabotage,
                   "Turn a defence off, on a test machine: firewall, discard, careful, fence, "
                   "barrier; of files sequence, write-back, sync, "
                   "generation, close, punch")
      ->type_name("DEFENCE")
      ->delimiter(',');
  command->callback([arguments, &context] { context.status = boot(*arguments); });
}

}  // namespace hive::cli
