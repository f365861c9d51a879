// hive fault: makes a cell fail, to see what the others make of it.

#include <memory>
#include <vector>

#include <fmt/format.h>

#include "base/ids.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "proto/runtime_dir.h"

namespace hive::cli {
namespace {

struct FaultArguments {
  std::string name = proto::default_machine;
  std::string cell;
  std::string how = "stop";
  std::string address;
};

struct FaultKind {
  const char* name;
  const char* description;
  bool by_itself;  // the cell does it, and no other can do it for it
};
constexpr FaultKind kinds[] = {
    {"kill-cell", "Switch a cell's node off", false},
    {"hang-cell", "Make a cell's kernel hang", true},
    {"fail-memory", "Make the memory of a cell's node fail", true},
    {"bad-frame", "Make the next memory test of a node fail, when it is started anew", false},
    {"wild-store", "Make a cell's kernel store to an address", true},
};

std::uint64_t read_address(const std::string& text) {
  std::size_t used = 0;
  std::uint64_t address = 0;
  try {
    address = std::stoull(text, &used, 0);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == text.size() && used != 0 && text[0] != '-') return address;
  throw CLI::ValidationError(
      fmt::format("--address wants an address such as 0x550000000000, not '{}'", text),
      CLI::ExitCodes::ValidationError);
}

// A cell that fails at once may not get to answer: no answer is as good as one.
int fault_by_itself(const Machine& machine, int cell, const Json& request) {
  const Answer answer = ask_cell(machine, cell, request, ask_patient_ns);
  if (answer.asked == Asked::down) {
    return complain(Refusal{monitor::exit_failed, fmt::format("cell {} is down", cell)});
  }
  if (answer.asked == Asked::silent) return monitor::exit_ok;
  if (answer.json.value("ok", false)) return monitor::exit_ok;
  return complain(Refusal{monitor::exit_failed, refusal_text(answer.json)});
}

// Another cell does it, which works for one that hangs too; the cell itself only when it is alone.
int fault_by_others(const Machine& machine, int cell, const Json& request) {
  std::vector<int> order;
  for (int other = 0; other < machine.cells; ++other) {
    if (other != cell) order.push_back(other);
  }
  const auto answer = ask_any(machine, request, order);
  if (answer) return monitor::exit_ok;
  if (answer.error().status != monitor::exit_not_running) return complain(answer.error());
  return fault_by_itself(machine, cell, request);
}

int fault(const FaultKind& kind, const FaultArguments& arguments) {
  const int cell = number_option("CELL", arguments.cell, 0, max_cells - 1);
  Json request = {{"op", "fault"}, {"kind", kind.name}, {"cell", cell}, {"how", arguments.how}};
  if (!arguments.address.empty()) request["address"] = read_address(arguments.address);
  const auto machine = find_machine(arguments.name);
  if (!machine) return complain(machine.error());
  if (const auto there = check_cell(*machine, cell); !there) return complain(there.error());
  return kind.by_itself ? fault_by_itself(*machine, cell, request)
                        : fault_by_others(*machine, cell, request);
}

void add_kind(CLI::App& faults, const FaultKind& kind, Context& context) {
  auto arguments = std::make_shared<FaultArguments>();
  CLI::App* command = faults.add_subcommand(kind.name, kind.description);
  command->add_option("cell", arguments->cell, "Number of the cell")
      ->type_name("CELL")
      ->required();
  const std::string name = kind.name;
  if (name == "hang-cell") {
    command->add_option("--how", arguments->how, "stop, loop or deadlock")
        ->check(CLI::IsMember({"stop", "loop", "deadlock"}))
        ->capture_default_str();
  }
  if (name == "wild-store") {
    command->add_option("--address", arguments->address, "Where to store")
        ->type_name("A")
        ->required();
  }
  add_name(*command, arguments->name);
  command->callback([&kind, arguments, &context] { context.status = fault(kind, *arguments); });
}

}  // namespace

void add_fault(CLI::App& app, Context& context) {
  CLI::App* faults = app.add_subcommand("fault", "Make a cell fail");
  faults->require_subcommand(1);
  for (const FaultKind& kind : kinds) add_kind(*faults, kind, context);
}

}  // namespace hive::cli
