// hive kill: a signal to a task, wherever it runs.

#include <csignal>
#include <cstdint>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include "cli/ask.h"
#include "cli/command.h"
#include "monitor/sizes.h"
#include "proto/runtime_dir.h"

namespace hive::cli {
namespace {

struct KillArguments {
  std::string name = proto::default_machine;
  std::string task;
  std::string signal = "TERM";
};

int kill(const KillArguments& arguments) {
  const auto task =
      monitor::parse_number(arguments.task, 1, std::numeric_limits<std::int64_t>::max());
  if (!task) {
    throw CLI::ValidationError(
        fmt::format("TASK is a number as `hive ps` shows it, not '{}'", arguments.task),
        CLI::ExitCodes::ValidationError);
  }
  const int number = signal_number(arguments.signal);
  if (number == 0) {
    throw CLI::ValidationError(fmt::format("there is no signal '{}'", arguments.signal),
                               CLI::ExitCodes::ValidationError);
  }
  const auto machine = find_machine(arguments.name);
  if (!machine) return complain(machine.error());
  const auto answer = ask_any(*machine, {{"op", "kill"}, {"task", *task}, {"signal", number}});
  return answer ? monitor::exit_ok : complain(answer.error());
}

}  // namespace

void add_kill(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<KillArguments>();
  CLI::App* command = app.add_subcommand("kill", "Send a signal to a task");
  command->add_option("task", arguments->task, "Number of the task")
      ->type_name("TASK")
      ->required();
  command->add_option("--signal", arguments->signal, "Name or number of the signal")
      ->type_name("S")
      ->capture_default_str();
  add_name(*command, arguments->name);
  command->callback([arguments, &context] { context.status = kill(*arguments); });
}

}  // namespace hive::cli
