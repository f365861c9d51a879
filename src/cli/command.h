// What the subcommands have in common: how they are registered, how they complain.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "monitor/refusal.h"

namespace hive::cli {

struct Context {
  int status = 0;                    // exit status that the chosen subcommand leaves
  std::vector<std::string> program;  // `hive run`: the program and its arguments
};

// Each adds its subcommand to the command line, with a callback that does the work.
void add_bench(CLI::App& app, Context& context);
void add_boot(CLI::App& app, Context& context);
void add_campaign(CLI::App& app, Context& context);
void add_check(CLI::App& app, Context& context);
void add_drain(CLI::App& app, Context& context);
void add_fault(CLI::App& app, Context& context);
void add_fs(CLI::App& app, Context& context);
void add_kill(CLI::App& app, Context& context);
void add_monitor(CLI::App& app, Context& context);
void add_postmortem(CLI::App& app, Context& context);
void add_ps(CLI::App& app, Context& context);
void add_reboot(CLI::App& app, Context& context);
void add_run(CLI::App& app, Context& context);
void add_shutdown(CLI::App& app, Context& context);
void add_status(CLI::App& app, Context& context);

// The option --name, of nearly all of them. Where it is not given, $HIVE_MACHINE has the name.
void add_name(CLI::App& command, std::string& name);

// One line on standard error, "hive: TEXT".
void complain(const std::string& text);
// The same for a refusal; returns its exit status.
int complain(const monitor::Refusal& refusal);

// Ends a machine whose name is sound, whatever that takes, and leaves nothing of it. Returns
// whether there was one. Errors: exit_failed (it does not end).
monitor::Outcome<bool> shut_down_machine(const std::string& name);

// For option values: a whole number within bounds, or a usage error that names the option.
int number_option(const std::string& option, const std::string& text, int lowest, int highest);

// The number of a signal by number or name ("9", "KILL", "SIGKILL"), or 0.
int signal_number(const std::string& text);

}  // namespace hive::cli
