// hive shutdown: ends a machine in good order, through its monitor if that lives, else cell by
// cell.

#include <memory>

#include <fmt/format.h>

#include "cli/ask.h"
#include "cli/command.h"
#include "cli/lock_holders.h"
#include "monitor/boot_record.h"
#include "monitor/machine_lock.h"
#include "proto/control.h"
#include "proto/runtime_dir.h"

namespace hive::cli {
namespace {

constexpr std::uint64_t monitor_ns = 30 * ns_per_s;  // it has deadlines of its own, within this
constexpr std::uint64_t cell_ns = 2 * ns_per_s;
constexpr std::uint64_t cells_end_ns =
    proto::tasks_end_max_ns + proto::flush_max_ns + proto::cell_end_max_ns;
constexpr std::uint64_t killed_end_ns = 5 * ns_per_s;

// Whether nothing of the machine lives any more.
bool is_down(const std::string& dir, std::uint64_t within_ns) {
  return monitor::wait_until_unlocked(dir, now_ns() + within_ns);
}

bool shut_down_by_monitor(const std::string& dir) {
  const Answer answer = ask(proto::monitor_socket(dir), {{"op", "shutdown"}}, monitor_ns);
  // It answers when all is gone; when it has died over it, the cells are asked.
  return answer.asked == Asked::answered && is_down(dir, killed_end_ns);
}

bool shut_down_by_cells(const std::string& dir) {
  const Json record = monitor::read_boot_record(dir);
  bool any = false;
  for (int cell = 0; cell < number_of(record, "cells"); ++cell) {
    any |= ask(proto::cell_socket(dir, cell), {{"op", "shutdown"}}, cell_ns).asked != Asked::down;
  }
  return is_down(dir, any ? cells_end_ns : ns_per_s);
}

}  // namespace

Outcome<bool> shut_down_machine(const std::string& name) {
  const std::string dir = proto::machine_dir(name);
  const bool ran = monitor::lock_state(dir) == monitor::LockState::held;
  bool down = !ran || shut_down_by_monitor(dir) || shut_down_by_cells(dir);
  if (!down) {
    const int killed = kill_lock_holders(proto::lock_file(dir));
    complain(fmt::format("machine '{}' did not end in good order: {} processes were killed", name,
                         killed));
    down = is_down(dir, killed_end_ns);
  }
  if (!down) {
    return monitor::refuse(monitor::exit_failed, fmt::format("machine '{}' does not end", name));
  }
  // Without a monitor nobody has removed the files yet; to boot now would do it too.
  if (monitor::lock_state(dir) == monitor::LockState::free) {
    if (const auto lock = monitor::lock_machine(dir, name))
      monitor::remove_machine_files(dir, true);
  }
  return ran;
}

namespace {

int shut_down(const std::string& name) {
  if (!proto::is_machine_name(name)) {
    const auto machine = find_machine(name);
    return machine ? monitor::exit_failed : complain(machine.error());
  }
  const auto ran = shut_down_machine(name);
  if (!ran) return complain(ran.error());
  fmt::print("machine '{}' {}\n", name, *ran ? "is down" : "is not running");
  return monitor::exit_ok;
}

}  // namespace

void add_shutdown(CLI::App& app, Context& context) {
  auto name = std::make_shared<std::string>(proto::default_machine);
  CLI::App* command = app.add_subcommand("shutdown", "End the machine and all its tasks");
  add_name(*command, *name);
  command->callback([name, &context] { context.status = shut_down(*name); });
}

}  // namespace hive::cli
