// hive ps: the tasks of the machine.

#include <memory>

#include <fmt/format.h>

#include "cli/ask.h"
#include "cli/command.h"
#include "cli/table.h"
#include "proto/runtime_dir.h"

namespace hive::cli {
namespace {

struct PsArguments {
  std::string name = proto::default_machine;
  bool json = false;
};

void print_tasks(const Json& answer) {
  Table table({"TASK", "CELL", "PID", "STATE", "AGE", "PROGRAM"});
  for (const Json& task : list_of(answer, "tasks")) {
    std::string program = printable(text_of(task, "program"));
    if (number_of(task, "span_count", 1) > 1) {
      program += fmt::format(" ({} of {})", number_of(task, "span_index") + 1,
                             number_of(task, "span_count"));
    }
    const Json& age = task.contains("age_s") ? task["age_s"] : Json();
    table.add({std::to_string(number_of(task, "id")), std::to_string(number_of(task, "cell", -1)),
               std::to_string(number_of(task, "pid")), text_of(task, "state", "?"),
               age.is_number() ? fmt::format("{:.1f} s", age.get<double>()) : "-", program});
  }
  if (table.empty()) {
    fmt::print("no tasks\n");
  } else {
    table.print();
  }
  for (const Json& cell : list_of(answer, "unread_cells")) {
    fmt::print("the tasks of cell {} could not be read\n", cell.dump());
  }
}

int ps(const PsArguments& arguments) {
  const auto machine = find_machine(arguments.name);
  if (!machine) return complain(machine.error());
  auto answer = ask_any(*machine, {{"op", "ps"}});
  if (!answer) return complain(answer.error());
  if (arguments.json) {
    print_json(*answer);
  } else {
    print_tasks(*answer);
  }
  return monitor::exit_ok;
}

}  // namespace

void add_ps(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<PsArguments>();
  CLI::App* command = app.add_subcommand("ps", "List the tasks of the machine");
  add_name(*command, arguments->name);
  command->add_flag("--json", arguments->json, "As JSON");
  command->callback([arguments, &context] { context.status = ps(*arguments); });
}

}  // namespace hive::cli
