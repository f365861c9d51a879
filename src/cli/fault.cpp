// hive fault: makes a cell fail, to see what the others make of it.

#include <memory>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/ids.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "cli/table.h"
#include "machine/fault_point.h"
#include "proto/runtime_dir.h"

namespace hive::cli {
namespace {

struct FaultArguments {
  std::string name = proto::default_machine;
  std::string cell;
  std::string how;
  std::string address;
  std::string memory_class;
  std::string point;
  std::string structure;
  std::string to;
  std::string accused;
  std::string seed = "0";
  std::string skip = "0";
  std::string count = "1";
  std::string times = "1";
  bool json = false;
};

// What a fault is told besides the cell.
enum Option : unsigned {
  how = 1,
  where = 2,      // --address, --class
  point = 4,      // --point, --skip
  structure = 8,
  to = 16,        // --to, --count
  accused = 32,   // --accused, --times
  seed = 64,
  json = 128,
};

struct FaultKind {
  const char* name;
  const char* description;
  bool by_itself;  // the cell does it, and no other can do it for it
  unsigned options = 0;
  std::vector<std::string> hows = {};  // the first is the default
};
const std::vector<FaultKind> kinds = {
    {"kill-cell", "Switch a cell's node off", false},
    {"kill-at", "Have a cell's kernel die at a point of its work (see points)", true, point},
    {"hang-cell", "Make a cell's kernel hang", true, how, {"stop", "loop", "deadlock"}},
    {"fail-memory", "Make the memory of a cell's node fail", true},
    {"bad-frame", "Make the next memory test of a node fail, when it is started anew", false},
    {"fail-disk", "Make the disk of a cell fail or be full; none takes it back", true, how,
     {"io", "full", "none"}},
    {"wild-store", "Make a cell's kernel store to an address, or to a class of memory", true,
     where | seed | json},
    {"corrupt", "Have a cell's kernel corrupt what it publishes (see structures)", true,
     structure | how | seed | json, {"word", "own", "other", "off-by-one", "self"}},
    {"garbage", "Have a cell's kernel send bad messages to another", true,
     to | how | seed | json, {"garbage", "replay", "truncate"}},
    {"accuse", "Have a cell's kernel accuse another falsely", true, accused},
    {"structures", "List what of a cell can be corrupted", true, json},
    {"counters", "Show what a cell has counted of faults", true, json},
};
constexpr std::int64_t number_max = 1'000'000'000;

std::uint64_t address_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_number() ? found->get<std::uint64_t>() : 0;
}

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

Json request_of(const FaultKind& kind, const FaultArguments& arguments, int cell) {
  const auto number = [](const char* name, const std::string& text) {
    return number_option(name, text, 0, number_max);
  };
  Json request = {{"op", "fault"}, {"kind", kind.name}, {"cell", cell}};
  if ((kind.options & how) != 0) request["how"] = arguments.how;
  if ((kind.options & where) != 0 && arguments.address.empty() && arguments.memory_class.empty()) {
    throw CLI::RequiredError("--address or --class");
  }
  if (!arguments.address.empty()) request["address"] = read_address(arguments.address);
  if (!arguments.memory_class.empty()) request["class"] = arguments.memory_class;
  if ((kind.options & seed) != 0) request["seed"] = number("--seed", arguments.seed);
  if ((kind.options & point) != 0) {
    request["point"] = arguments.point;
    request["skip"] = number("--skip", arguments.skip);
  }
  if ((kind.options & structure) != 0) request["structure"] = arguments.structure;
  if ((kind.options & to) != 0) {
    request["to"] = number_option("--to", arguments.to, 0, max_cells - 1);
    request["count"] = number("--count", arguments.count);
  }
  if ((kind.options & accused) != 0) {
    request["accused"] = number_option("--accused", arguments.accused, 0, max_cells - 1);
    request["times"] = number("--times", arguments.times);
  }
  return request;
}

void print_structures(const Json& answer) {
  Table table({"STRUCTURE", "THERE", "POINTERS", ""});
  for (const Json& one : list_of(answer, "structures")) {
    table.add({text_of(one, "name"), std::to_string(number_of(one, "there")),
               one.value("pointers", false) ? "yes" : "-", text_of(one, "what")});
  }
  table.print();
}

void print_answer(const FaultKind& kind, const FaultArguments& arguments, const Json& answer) {
  const std::string name = kind.name;
  if (arguments.json || name == "counters") return print_json(answer);
  if (name == "structures") return print_structures(answer);
  if (name == "garbage") fmt::print("{} messages sent\n", number_of(answer, "sent"));
  if (name == "corrupt") {
    fmt::print("{:#x} (offset {}): {:#x} becomes {:#x}\n", address_of(answer, "address"),
               number_of(answer, "offset"), address_of(answer, "old"), address_of(answer, "new"));
  }
  if (name == "wild-store" && arguments.address.empty()) {
    const auto home = number_of(answer, "home", -1);
    fmt::print("{:#x}, {}\n", address_of(answer, "address"),
               home < 0 ? "where no memory is" : fmt::format("memory of cell {}", home));
  }
}

// A cell that fails at once may not get to answer: no answer is as good as one, where none is
// `wanted`.
Outcome<Json> fault_by_itself(const Machine& machine, int cell, const Json& request,
                              bool wanted) {
  Answer answer = ask_cell(machine, cell, request, ask_patient_ns);
  if (answer.asked == Asked::down) {
    return monitor::refuse(monitor::exit_failed, fmt::format("cell {} is down", cell));
  }
  if (answer.asked == Asked::silent) {
    if (!wanted) return Json::object();
    return monitor::refuse(monitor::exit_failed, fmt::format("cell {} does not answer", cell));
  }
  if (answer.json.value("ok", false)) return std::move(answer.json);
  return monitor::refuse(monitor::exit_failed, refusal_text(answer.json));
}

// Another cell does it, which works for one that hangs too; the cell itself only when it is alone.
Outcome<Json> fault_by_others(const Machine& machine, int cell, const Json& request,
                              bool wanted) {
  std::vector<int> order;
  for (int other = 0; other < machine.cells; ++other) {
    if (other != cell) order.push_back(other);
  }
  auto answer = ask_any(machine, request, order);
  if (answer || answer.error().status != monitor::exit_not_running) return answer;
  return fault_by_itself(machine, cell, request, wanted);
}

int fault(const FaultKind& kind, const FaultArguments& arguments) {
  const int cell = number_option("CELL", arguments.cell, 0, max_cells - 1);
  const Json request = request_of(kind, arguments, cell);
  const auto machine = find_machine(arguments.name);
  if (!machine) return complain(machine.error());
  if (const auto there = check_cell(*machine, cell); !there) return complain(there.error());
  // What is for the next life of a cell is noted by whomever, also while it is down.
  const auto known = machine::find_fault_point(arguments.point);
  const bool by_itself = kind.by_itself && !(known && known->in_next_life);
  const bool wanted = kind.options == json;  // it is nothing but a question
  const auto answer = by_itself ? fault_by_itself(*machine, cell, request, wanted)
                                : fault_by_others(*machine, cell, request, wanted);
  if (!answer) return complain(answer.error());
  if ((kind.options & json) != 0) print_answer(kind, arguments, *answer);
  return monitor::exit_ok;
}

void add_options(CLI::App& command, const FaultKind& kind, FaultArguments& arguments) {
  const auto has = [&](Option option) { return (kind.options & option) != 0; };
  const auto add = [&](const char* name, std::string& value, const char* type, const char* what) {
    return command.add_option(name, value, what)->type_name(type);
  };
  if (has(how)) {
    arguments.how = kind.hows.front();
    command.add_option("--how", arguments.how, fmt::format("{}", fmt::join(kind.hows, ", ")))
        ->check(CLI::IsMember(kind.hows))
        ->capture_default_str();
  }
  if (has(where)) {
    auto* address = add("--address", arguments.address, "A", "Where to store");
    command.add_option("--class", arguments.memory_class, "Instead: a random address of that sort")
        ->check(CLI::IsMember({"own-kernel", "own-user", "foreign-kernel", "foreign-closed",
                               "foreign-open", "unmapped"}))
        ->excludes(address);
  }
  if (has(point)) {
    std::vector<std::string> names = {"none"};
    for (const auto& known : machine::fault_points) names.emplace_back(known.name);
    add("--point", arguments.point, "POINT", "Where; none takes it back")
        ->required()
        ->check(CLI::IsMember(names).description(""));
    add("--skip", arguments.skip, "K", "Pass it so often before")->capture_default_str();
  }
  if (has(structure)) add("--structure", arguments.structure, "S", "Which one")->required();
  if (has(to)) {
    add("--to", arguments.to, "CELL", "To which cell")->required();
    add("--count", arguments.count, "N", "How many")->capture_default_str();
  }
  if (has(accused)) {
    add("--accused", arguments.accused, "CELL", "Which cell")->required();
    add("--times", arguments.times, "N", "How often")->capture_default_str();
  }
  if (has(seed)) add("--seed", arguments.seed, "X", "Of the draw")->capture_default_str();
  if (has(json)) command.add_flag("--json", arguments.json, "As JSON");
}

void add_kind(CLI::App& faults, const FaultKind& kind, Context& context) {
  auto arguments = std::make_shared<FaultArguments>();
  CLI::App* command = faults.add_subcommand(kind.name, kind.description);
  command->add_option("cell", arguments->cell, "Number of the cell")
      ->type_name("CELL")
      ->required();
  add_options(*command, kind, *arguments);
  add_name(*command, arguments->name);
  command->callback([&kind, arguments, &context] { context.status = fault(kind, *arguments); });
}

int points(bool as_json) {
  if (!as_json) {
    Table table({"POINT", "WHERE THE KERNEL DIES"});
    for (const auto& known : machine::fault_points) table.add({known.name, known.where});
    table.print();
    return monitor::exit_ok;
  }
  Json list = Json::array();
  for (const auto& known : machine::fault_points) {
    list.push_back({{"name", known.name},
                    {"where", known.where},
                    {"next_incarnation", known.in_next_life}});
  }
  print_json({{"points", list}});
  return monitor::exit_ok;
}

void add_points(CLI::App& faults, Context& context) {
  auto as_json = std::make_shared<bool>(false);
  CLI::App* command = faults.add_subcommand("points", "List the points for kill-at");
  command->add_flag("--json", *as_json, "As JSON");
  command->callback([as_json, &context] { context.status = points(*as_json); });
}

}  // namespace

void add_fault(CLI::App& app, Context& context) {
  CLI::App* faults = app.add_subcommand("fault", "Make a cell fail");
  faults->require_subcommand(1);
  for (const FaultKind& kind : kinds) add_kind(*faults, kind, context);
  add_points(*faults, context);
}

}  // namespace hive::cli
