// The kernel and its monitor: orders, the monitor's death, a new one.

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "cell/boot/kernel.h"
#include "machine/linux/power.h"
#include "proto/control.h"
#include "proto/runtime_dir.h"

namespace hive::cell {
namespace {

using Json = nlohmann::json;

// From the order `connect` to being up.
constexpr std::uint64_t join_max_ns = 20 * ns_per_s;

// The cells that the order names, or all others.
CellSet cells_of(const Json& order, CellId self, std::uint32_t cells) {
  CellSet named;
  const auto list = order.find("cells");
  for (CellId cell = 0; cell < static_cast<CellId>(cells); ++cell) {
    const bool is_named = list == order.end() || !list->is_array() ||
                          std::find(list->begin(), list->end(), Json(cell)) != list->end();
    if (cell != self && is_named) named.add(cell);
  }
  return named;
}

}  // namespace

void Kernel::tell_monitor(const Json& event, std::span<const int> fds) {
  if (monitor_gone_) return;
  (void)machine::channel_send(machine::kernel_fd_monitor, machine::bytes_of(event.dump()), fds,
                              now_ns() + ns_per_s);
}

bool Kernel::take_monitor_message() {
  auto message = machine::channel_receive(machine::kernel_fd_monitor, 0);
  if (!message && message.error().code == Code::timed_out) return false;
  if (!message || message->end) {
    on_monitor_gone();
    return false;
  }
  const Json order = Json::parse(message->text(), nullptr, false);
  if (!order.is_object() || !order.contains("op") || !order["op"].is_string()) return true;
  const std::string op = order["op"].get<std::string>();
  if (op == "connect" && !connector_.joinable()) {
    to_join_ = cells_of(order, config_.self, config_.layout.cells);
    if (config_.joins()) join_deadline_ns_ = now_ns() + join_max_ns;
    connector_ = std::thread([this, cells = to_join_] { connect_peers(cells); });
  } else if (op == "go" && !is_up_) {
    go();
  } else if (op == "drain" && order.contains("grace_ms") &&
             order["grace_ms"].is_number_unsigned()) {
    begin_shutdown(CellState::draining, order["grace_ms"].get<std::uint64_t>() * ns_per_ms);
  } else if (op == "shutdown") {
    begin_shutdown(CellState::ending, proto::tasks_end_max_ns);
  }
  return true;
}

// Before this cell is up nobody else would ever end it, and a part of a boot is of no use.
void Kernel::on_monitor_gone() {
  loop_->forget(machine::kernel_fd_monitor);
  monitor_gone_ = true;
  takeover_.monitor_lost(now_ns());
  const bool machine_is_up = ::access(proto::up_file(config_.machine_dir).c_str(), F_OK) == 0;
  if (machine_is_up && (is_up_ || !config_.joins())) {
    log("the monitor is gone; going on without it");
    return start_monitor_if_due();
  }
  log("the monitor is gone before the cell is up");
  ::_exit(1);
}

void Kernel::start_monitor_if_due() {
  if (!monitor_gone_ || shutdown_deadline_ns_ != 0 || !is_up_) return;
  if (config_.sabotage.takeover) return;
  if (membership_->live().lowest() != config_.self || !takeover_.is_due(now_ns())) return;
  const auto started = start_monitor(config_);
  log(started ? "starting a new monitor" : "no new monitor: " + started.error().message());
}

// A new monitor has come to take over.
Result<void> Kernel::take_new_monitor(UniqueFd channel) {
  while (!monitor_gone_ && take_monitor_message()) {
  }
  if (!monitor_gone_) return fail(Code::busy, "the cell has a monitor", config_.self);
  if (!is_up_) return fail(Code::refused, "the cell is not up", config_.self);
  if (::dup3(channel.get(), machine::kernel_fd_monitor, O_CLOEXEC) < 0 ||
      !loop_->watch(machine::kernel_fd_monitor, [this] { take_monitor_message(); })) {
    return fail(Code::exhausted, "the cell has no descriptor left", config_.self, errno);
  }
  monitor_gone_ = false;
  log("a new monitor has taken over");
  membership_->set_reboots(true);
  return {};
}

// This cell, as recovery master, misses a node. To ask twice does no harm: the incarnation tells
// the monitor which death is meant. One may have attached and died that was never a member.
void Kernel::ask_for_reboot(CellId cell, std::uint64_t last_known) {
  if (shutdown_deadline_ns_ != 0 || !is_up_ || membership_->live().has(cell)) return;
  const std::uint64_t last = std::max(last_known, peers_.last_incarnation(cell));
  tell_monitor({{"event", "reboot"}, {"cell", cell}, {"incarnation", last + 1}});
}

void Kernel::give_up(const std::string& cause) {
  log(cause);
  tell_monitor({{"event", "failed"}, {"cause", cause}});
  ::_exit(1);
}

}  // namespace hive::cell
