// hive run: a program on a cell, or one component of it on each of several cells. Standard
// streams, signals and the exit status are those of the program.

#include <csignal>
#include <memory>

#include <fmt/format.h>

#include "base/ids.h"
#include "cli/command.h"
#include "cli/run_components.h"
#include "cli/run_place.h"
#include "proto/runtime_dir.h"

namespace hive::cli {
namespace {

constexpr const char* run_footer =
    "PROGRAM without a '/' is looked up in PATH. SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, "
    "SIGUSR2,\n"
    "SIGCONT, SIGWINCH and SIGTSTP are passed on to it, and its exit status is that of `hive "
    "run`\n"
    "(128 + N if signal N ended it). Of a span: the status of the first component that fails.\n"
    "When a cell fails, its task is lost: one line on standard error says so, and the status is "
    "75.\n"
    "Of a span, if at least one component succeeds all the same, it is the worst of the "
    "survivors.\n"
    "126: the program can not be executed; 127: it was not found.\n";

struct RunArguments {
  std::string name = proto::default_machine;
  std::string cell;
  std::string span;
  std::vector<std::string> shown;
};

Outcome<std::vector<Component>> start_on_any_cell(const Machine& machine, const Program& program) {
  const auto cells = cells_by_load(machine);
  if (!cells) return tl::unexpected(cells.error());
  Refusal last;
  for (const int cell : *cells) {
    auto component = start_component(machine, program, cell, 0, 1);
    if (component) {
      std::vector<Component> components;
      components.push_back(std::move(*component));
      return components;
    }
    last = component.error().refusal;
    if (!component.error().cell_was_down) break;  // it went down since it was asked for: the next
  }
  return tl::unexpected(last);
}

// When one can not be started, those that were are ended: their connections close.
Outcome<std::vector<Component>> start_on(const Machine& machine, const Program& program,
                                         const std::vector<int>& cells) {
  std::vector<Component> components;
  const int count = static_cast<int>(cells.size());
  for (int i = 0; i < count; ++i) {
    auto component =
        start_component(machine, program, cells[static_cast<std::size_t>(i)], i, count);
    if (!component) return tl::unexpected(component.error().refusal);
    components.push_back(std::move(*component));
  }
  return components;
}

Outcome<std::vector<Component>> start(const Machine& machine, const Program& program,
                                      const RunArguments& arguments) {
  if (!arguments.cell.empty()) {
    const int cell = number_option("--cell", arguments.cell, 0, max_cells - 1);
    if (cell >= machine.cells) {
      return monitor::refuse(monitor::exit_usage,
                             fmt::format("--cell {}: machine '{}' has the cells 0 to {}", cell,
                                         machine.name, machine.cells - 1));
    }
    return start_on(machine, program, {cell});
  }
  if (arguments.span.empty()) return start_on_any_cell(machine, program);
  const int count =
      arguments.span == "all" ? 0 : number_option("--span", arguments.span, 1, max_cells);
  const auto cells = cells_of_span(machine, count);
  if (!cells) return tl::unexpected(cells.error());
  return start_on(machine, program, *cells);
}

void check_usage(const RunArguments& arguments, const std::vector<std::string>& words) {
  if (words.empty()) throw CLI::RequiredError("PROGRAM");
  if (words.front().empty()) {
    throw CLI::ValidationError("PROGRAM is empty", CLI::ExitCodes::ValidationError);
  }
  // Before any machine is looked for: wrong usage is wrong on all of them.
  if (!arguments.cell.empty()) number_option("--cell", arguments.cell, 0, max_cells - 1);
  if (!arguments.span.empty() && arguments.span != "all") {
    number_option("--span", arguments.span, 1, max_cells);
  }
}

int run(const RunArguments& arguments, const std::vector<std::string>& words) {
  check_usage(arguments, words);
  const auto machine = find_machine(arguments.name);
  if (!machine) return complain(machine.error());
  const auto program = make_program(words);
  if (!program) return complain(program.error());
  block_forwarded_signals();
  auto components = start(*machine, *program, arguments);
  if (!components) return complain(components.error());
  return wait_for_components(*program, *components);
}

}  // namespace

void add_run(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<RunArguments>();
  CLI::App* command = app.add_subcommand("run", "Run a program on the machine");
  add_name(*command, arguments->name);
  auto* cell =
      command->add_option("--cell", arguments->cell, "Run it on this cell")->type_name("N");
  auto* span =
      command->add_option("--span", arguments->span,
                          "Run one component of it on each of N cells, or of all that are up");
  span->type_name("N|all")->excludes(cell);
  // Only for the help: main has cut the program off before the options are parsed.
  command->add_option("program", arguments->shown, "The program and its arguments")
      ->type_name("PROGRAM ARGS...");
  command->footer(run_footer);
  command->callback([arguments, &context] { context.status = run(*arguments, context.program); });
}

}  // namespace hive::cli
