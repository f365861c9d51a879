// hive drain, hive reboot: one cell at a time, while the others run on.

#include <memory>

#include <fmt/format.h>

#include "base/ids.h"
#include "cli/ask.h"
#include "cli/command.h"
#include "proto/runtime_dir.h"

namespace hive::cli {
namespace {

constexpr int grace_max_s = 3600;
constexpr std::uint64_t comeback_ns = 200 * ns_per_s;  // three tries have deadlines within this
constexpr std::uint64_t off_ns = 30 * ns_per_s;
// When the monitor has died, a cell starts another.
constexpr std::uint64_t new_monitor_ns = 10 * ns_per_s;
constexpr std::uint64_t look_again_ns = 20 * ns_per_ms;

struct MaintainArguments {
  std::string name = proto::default_machine;
  std::string cell;
  std::string grace = "10";
};

// The monitor's answer; one that is about to be replaced is waited for.
Answer ask_monitor(const Machine& machine, const Json& request, std::uint64_t timeout_ns) {
  const std::uint64_t deadline_ns = now_ns() + new_monitor_ns;
  for (;;) {
    Answer answer = ask(proto::monitor_socket(machine.dir), request, timeout_ns);
    if (answer.asked != Asked::down || now_ns() >= deadline_ns) return answer;
    const timespec pause = to_timespec(look_again_ns);
    ::nanosleep(&pause, nullptr);
  }
}

int maintain(const char* what, const MaintainArguments& arguments, std::uint64_t patience_ns,
             const char* done) {
  const int cell = number_option("CELL", arguments.cell, 0, max_cells - 1);
  const int grace_s = number_option("--grace", arguments.grace, 0, grace_max_s);
  const auto machine = find_machine(arguments.name);
  if (!machine) return complain(machine.error());
  if (const auto there = check_cell(*machine, cell); !there) return complain(there.error());
  const auto grace_ns = static_cast<std::uint64_t>(grace_s) * ns_per_s;
  const Answer answer =
      ask_monitor(*machine, {{"op", what}, {"cell", cell}, {"grace_ms", grace_ns / ns_per_ms}},
                  grace_ns + patience_ns);
  if (answer.asked == Asked::down) {
    return complain(Refusal{monitor::exit_failed,
                            "the machine's monitor is gone, and no other has "
                            "taken over; see hive status"});
  }
  if (answer.asked == Asked::silent) {
    return complain(Refusal{monitor::exit_failed,
                            fmt::format("no word of cell {} in time; see hive status", cell)});
  }
  if (!answer.json.value("ok", false)) {
    return complain(Refusal{monitor::exit_failed, refusal_text(answer.json)});
  }
  fmt::print("cell {} {}\n", cell, done);
  return monitor::exit_ok;
}

CLI::App* add_command(CLI::App& app, const char* name, const char* description,
                      MaintainArguments& arguments) {
  CLI::App* command = app.add_subcommand(name, description);
  command->add_option("cell", arguments.cell, "Number of the cell")->type_name("CELL")->required();
  command
      ->add_option("--grace", arguments.grace,
                   "Seconds from SIGTERM to SIGKILL for the tasks of the cell")
      ->type_name("SECONDS")
      ->capture_default_str();
  add_name(*command, arguments.name);
  return command;
}

}  // namespace

void add_drain(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<MaintainArguments>();
  add_command(app, "drain", "End the tasks of a cell in good order and switch it off", *arguments)
      ->callback([arguments, &context] {
        context.status = maintain("drain", *arguments, off_ns, "is drained and switched off");
      });
}

void add_reboot(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<MaintainArguments>();
  add_command(app, "reboot", "Start a cell anew; one that is up is drained first", *arguments)
      ->callback([arguments, &context] {
        context.status = maintain("reboot", *arguments, comeback_ns, "is up again");
      });
}

}  // namespace hive::cli
