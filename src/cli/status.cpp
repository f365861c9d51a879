// hive status: the cells, what protects them, and what could go wrong right now.

#include <memory>

#include <fmt/format.h>

#include "cli/ask.h"
#include "cli/command.h"
#include "cli/table.h"
#include "proto/runtime_dir.h"

namespace hive::cli {
namespace {

struct StatusArguments {
  std::string name = proto::default_machine;
  bool json = false;
  bool frames = false;
};

double real_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_number() ? found->get<double>() : 0;
}

std::string number_or_dash(const Json& json, const char* name) {
  return json.contains(name) ? std::to_string(number_of(json, name)) : "-";
}

// "0 1 3"
std::string cells_text(const Json& list) {
  std::string text;
  for (const Json& cell : list) {
    if (!text.empty()) text += ' ';
    text += cell.dump();
  }
  return text.empty() ? "none" : text;
}

void print_head(const Json& status) {
  const std::string firewall = text_of(status, "firewall", "unknown");
  fmt::print("machine '{}': live cells {}, epoch {}, firewall {}{}\n", text_of(status, "machine"),
             cells_text(list_of(status, "live_set")), number_of(status, "epoch"), firewall,
             firewall == "cooperative" ? " (nothing stops a wild store)" : "");
  for (const Json& defence : list_of(status, "sabotage")) {
    if (defence.is_string()) {
      fmt::print("DEFENCE TURNED OFF for a test: {}\n", printable(defence.get<std::string>()));
    }
  }
}

std::string memory_text(const Json& cell) {
  const auto memory = cell.find("memory");
  if (memory == cell.end() || !memory->is_object()) return "-";
  return fmt::format("{:.1f} of {:.0f} MiB", real_of(*memory, "segments_mib"),
                     real_of(*memory, "total_mib"));
}

std::string remark_text(const Json& cell) {
  std::string text = text_of(cell, "cause", text_of(cell, "problem"));
  const std::string reason = text_of(cell, "reason");
  if (!reason.empty() && text.find(reason) == std::string::npos) {
    text += (text.empty() ? "" : "; ") + reason;
  }
  const std::string last_words = text_of(cell, "last_words");
  if (!last_words.empty()) text += (text.empty() ? "" : "; ") + ("last words: " + last_words);
  return printable(text);
}

void print_cells(const Json& status) {
  Table table(
      {"CELL", "STATE", "PID", "EPOCH", "TASKS", "MEMORY USED", "OPEN TO OTHERS", "TORN", ""});
  for (const Json& cell : list_of(status, "cells")) {
    const Json memory = cell.value("memory", Json::object());
    const auto pages = [&](const char* name) {
      return memory.contains(name) ? fmt::format("{} pages", number_of(memory, name)) : "-";
    };
    const std::string state = text_of(cell, "state");
    const bool is_up = state == "up" || state == "draining";
    table.add({std::to_string(number_of(cell, "id", -1)), text_of(cell, "state", "?"),
               number_or_dash(cell, "pid"), number_or_dash(cell, "epoch"),
               is_up ? number_or_dash(cell, "tasks") : "-", memory_text(cell),
               pages("open_to_other_cells_pages"), pages("torn_pages"), remark_text(cell)});
  }
  table.print();
}

void print_exposure(const Json& status) {
  for (const Json& window : list_of(status, "exposure")) {
    fmt::print(
        "open: task {} of cell {} can destroy {} pages of cell {} (segment {}, from page {}{}), "
        "for {:.0f} ms so far\n",
        number_of(window, "task"), number_of(window, "cell", -1), number_of(window, "pages"),
        number_of(window, "home", -1), number_of(window, "segment"),
        number_of(window, "first_page"), window.value("shared", false) ? ", shared" : "",
        real_of(window, "open_ms"));
  }
}

void print_blocked(const Json& status) {
  for (const Json& store : list_of(status, "blocked_stores")) {
    fmt::print(
        "blocked store: task {} ({}) of cell {}, instruction {:#x}, at {:#x} (page {} of cell "
        "{}), {:.1f} s ago\n",
        number_of(store, "task"), printable(text_of(store, "program", "?")),
        number_of(store, "cell", -1), number_of(store, "instruction"), number_of(store, "address"),
        number_of(store, "page"), number_of(store, "home", -1), real_of(store, "ago_s"));
  }
}

// Each cell counts its own; no other sees them all at one moment.
Json ask_for_frames(const Machine& machine) {
  Json list = Json::array();
  for (int cell = 0; cell < machine.cells; ++cell) {
    Answer answer = ask_cell(machine, cell, {{"op", "frames"}}, ask_patient_ns);
    if (answer.asked == Asked::down) continue;
    if (answer.asked == Asked::silent || !answer.json.is_object()) {
      answer.json = {{"problem", "it does not answer"}};
    }
    answer.json.erase("ok");
    answer.json["cell"] = cell;
    list.push_back(std::move(answer.json));
  }
  return list;
}

int frames(const StatusArguments& arguments, const Machine& machine) {
  const Json list = ask_for_frames(machine);
  bool is_sound = true;
  Table table({"CELL", "FRAMES", "STATES", ""});
  for (const Json& cell : list) {
    const Json states = cell.value("states", Json::object());
    std::string text;
    for (const auto& [state, count] : states.items()) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count.dump(), printable(state));
    }
    if (const auto borrowed = cell.value("borrowed", std::uint64_t{0}); borrowed > 0) {
      text += fmt::format("; {} borrowed", borrowed);
    }
    const bool adds_up = cell.value("adds_up", false);
    is_sound = is_sound && adds_up;
    table.add({std::to_string(number_of(cell, "cell", -1)), number_or_dash(cell, "frames"),
               text.empty() ? "-" : text,
               adds_up ? "they add up" : printable(text_of(cell, "problem", "no answer"))});
  }
  arguments.json ? print_json(Json{{"frames", list}}) : table.print();
  return is_sound ? monitor::exit_ok : monitor::exit_failed;
}

int status(const StatusArguments& arguments) {
  const auto machine = find_machine(arguments.name);
  if (!machine) return complain(machine.error());
  if (arguments.frames) return frames(arguments, *machine);
  auto answer = ask_any(*machine, {{"op", "status"}});
  if (!answer) return complain(answer.error());
  if (arguments.json) {
    print_json(*answer);
    return monitor::exit_ok;
  }
  print_head(*answer);
  print_cells(*answer);
  print_exposure(*answer);
  print_blocked(*answer);
  return monitor::exit_ok;
}

}  // namespace

void add_status(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<StatusArguments>();
  CLI::App* command =
      app.add_subcommand("status", "Show the cells and what could go wrong right now");
  add_name(*command, arguments->name);
  command->add_flag("--json", arguments->json, "As JSON");
  command->add_flag("--frames", arguments->frames,
                    "Have each cell count its frames of memory, and say whether they add up");
  command->callback([arguments, &context] { context.status = status(*arguments); });
}

}  // namespace hive::cli
