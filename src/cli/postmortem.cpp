// hive postmortem: why cells died, what each survivor saw, and what was lost.

#include <ctime>
#include <memory>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "cli/ask.h"
#include "cli/command.h"
#include "cli/postmortem_accounts.h"
#include "cli/table.h"
#include "monitor/directories.h"
#include "proto/runtime_dir.h"

namespace hive::cli {
namespace {

struct PostmortemArguments {
  std::string name = proto::default_machine;
  std::string number;
  bool json = false;
};

constexpr int deaths_max = 1'000'000;

std::string time_text(std::uint64_t time_ms) {
  const auto seconds = static_cast<std::time_t>(time_ms / 1000);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:03}", fmt::localtime(seconds), time_ms % 1000);
}

std::string bytes_text(std::int64_t bytes) { return fmt::format("{} KiB", bytes / 1024); }

std::string lost_text(const Death& death) {
  std::int64_t torn = 0;
  std::int64_t put_back = 0;
  for (const Json& range : death.ranges()) {
    (range.value("put_back", false) ? put_back : torn) += number_of(range, "bytes");
  }
  std::string text = fmt::format("{} tasks, {} segments", death.left("tasks").size(),
                                 death.left("segments").size());
  if (torn != 0) text += ", " + bytes_text(torn) + " torn";
  if (put_back != 0) text += ", " + bytes_text(put_back) + " put back";
  return text;
}

void print_list(const std::string& machine, const std::vector<Death>& deaths) {
  if (deaths.empty()) {
    fmt::print("no cell of machine '{}' has died\n", machine);
    return;
  }
  Table table({"N", "WHEN", "CELL", "LIFE", "WHY", "LOST WITH IT"});
  for (const Death& death : deaths) {
    table.add({std::to_string(death.number), time_text(death.time_ms), std::to_string(death.cell),
               std::to_string(death.incarnation), printable(death.cause()), lost_text(death)});
  }
  table.print();
}

double ms_between(const Json& times, const char* from, const char* to) {
  return static_cast<double>(number_of(times, to) - number_of(times, from)) / 1e6;
}

// When each phase ended, after the first sign that anybody had.
void print_phases(const Death& death) {
  Table table({"SEEN BY", "NOTICED", "OFF", "BARRIER 1", "PASSED", "BARRIER 2", "GOES ON", "SAW"});
  const Json first = death.accounts.front()["times_ns"];
  for (const Json& account : death.accounts) {
    Json times = account["times_ns"];
    times["first"] = number_of(first, "noticed");
    const auto at = [&](const char* phase) {
      return fmt::format("{:.2f} ms", ms_between(times, "first", phase));
    };
    table.add({fmt::format("cell {}", number_of(account, "by", -1)), at("noticed"),
               at("known_off"), at("closed"), at("passed"), at("discarded"), at("settled"),
               printable(text_of(account, "cause"))});
  }
  table.print();
}

void print_votes(const Death& death) {
  for (const Json& account : death.accounts) {
    const Json votes = list_of(account, "votes");
    if (votes.empty()) continue;
    fmt::print("\nvotes, as cell {} counted them:\n", number_of(account, "by", -1));
    for (const Json& vote : votes) {
      const std::string saw = text_of(vote, "saw");
      fmt::print("  cell {}: {}{}{}\n", number_of(vote, "by", -1),
                 printable(text_of(vote, "verdict", "?")),
                 vote.value("accuser", false) ? ", raised the alert" : "",
                 saw.empty() ? "" : " (" + printable(saw) + ")");
    }
  }
}

void print_lost(const Death& death) {
  fmt::print("\nlost:\n");
  for (const Json& task : death.left("tasks")) {
    fmt::print("  task {} ({}), which ran there\n", number_of(task, "id"),
               printable(text_of(task, "program", "?")));
  }
  for (const Json& segment : death.left("segments")) {
    fmt::print("  segment {}, {} pages, which had its home there\n",
               printable(text_of(segment, "name", "?")), number_of(segment, "pages"));
  }
  for (const Json& range : death.ranges()) {
    const auto offset = number_of(range, "offset");
    fmt::print("  bytes {} to {} of segment {} at cell {}: {}, because task {} had them open\n",
               offset, offset + number_of(range, "bytes"),
               printable(text_of(range, "segment", "?")), number_of(range, "home", -1),
               range.value("put_back", false) ? "put back to what was committed" : "torn",
               number_of(range, "task"));
  }
  const bool nothing = death.left("tasks").empty() && death.left("segments").empty() &&
                       death.ranges().empty();
  if (nothing) fmt::print("  nothing\n");
}

void print_death(const Death& death) {
  fmt::print("{}: cell {}, life {}: {}\n", time_text(death.time_ms), death.cell,
             death.incarnation, printable(death.cause()));
  if (const std::string words = death.last_words(); !words.empty()) {
    fmt::print("its last words: {}\n", printable(words));
  }
  fmt::print("\n");
  print_phases(death);
  print_votes(death);
  print_lost(death);
}

Json json_of(const Death& death) {
  return {{"number", death.number},
          {"boot", death.boot},
          {"cell", death.cell},
          {"incarnation", death.incarnation},
          {"time_ms", death.time_ms},
          {"cause", death.cause()},
          {"last_words", death.last_words()},
          {"lost", {{"tasks", death.left("tasks")},
                    {"segments", death.left("segments")},
                    {"ranges", death.ranges()}}},
          {"accounts", death.accounts}};
}

int postmortem(const PostmortemArguments& arguments) {
  if (!proto::is_machine_name(arguments.name)) {
    return complain(Refusal{monitor::exit_usage,
                            fmt::format("'{}' is no name for a machine", arguments.name)});
  }
  const auto deaths = read_deaths(monitor::state_directory(arguments.name));
  if (arguments.number.empty()) {
    if (arguments.json) {
      Json list = Json::array();
      for (const Death& death : deaths) list.push_back(json_of(death));
      print_json({{"machine", arguments.name}, {"deaths", list}});
    } else {
      print_list(arguments.name, deaths);
    }
    return monitor::exit_ok;
  }
  const int number = number_option("N", arguments.number, 1, deaths_max);
  if (number > static_cast<int>(deaths.size())) {
    return complain(Refusal{monitor::exit_failed,
                            fmt::format("machine '{}' has {} post-mortems, none of number {}",
                                        arguments.name, deaths.size(), number)});
  }
  const Death& death = deaths[static_cast<std::size_t>(number) - 1];
  if (arguments.json) {
    print_json(json_of(death));
  } else {
    print_death(death);
  }
  return monitor::exit_ok;
}

}  // namespace

void add_postmortem(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<PostmortemArguments>();
  CLI::App* command = app.add_subcommand(
      "postmortem", "Tell why cells died, what each survivor saw, and what was lost");
  command->add_option("number", arguments->number, "Number of a death, as the list shows it")
      ->type_name("N");
  add_name(*command, arguments->name);
  command->add_flag("--json", arguments->json, "As JSON");
  command->callback([arguments, &context] { context.status = postmortem(*arguments); });
}

}  // namespace hive::cli
