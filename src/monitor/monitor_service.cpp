// The machine from its being up to its end.

#include <algorithm>

#include "base/time.h"
#include "machine/linux/power.h"
#include "monitor/machine_lock.h"
#include "monitor/monitor.h"
#include "proto/control.h"

namespace hive::monitor {
namespace {

// For the kernels to end their tasks and flush their files.
constexpr std::uint64_t orderly_ns =
    proto::tasks_end_max_ns + proto::flush_max_ns + proto::cell_end_max_ns;
constexpr std::uint64_t clean_up_ns = 10 * ns_per_s;
constexpr std::uint64_t strays_ns = 2 * ns_per_s;
constexpr std::uint64_t goodbye_ns = 100 * ns_per_ms;

}  // namespace

int Monitor::serve() {
  // What is on its way back is nobody's machine: with the last member it ends.
  while (members() > 0) {
    pump(next_deadline());
    advance_comebacks();
    if (power_off_at_ns_ != 0 && now_ns() >= power_off_at_ns_) {
      log_->warn("not all nodes have ended in time: switching them off");
      power_off_at_ns_ = 0;
      power_off_all();
    }
  }
  const bool orderly = shutting_down_;
  shutting_down_ = true;
  power_off_all();
  wait_until_gone(now_ns() + strays_ns);
  log_->info(orderly ? "the machine is down" : "the last cell has failed: the machine is down");
  clean_up();
  return orderly ? exit_ok : exit_failed;
}

bool Monitor::all_gone() const {
  return std::none_of(nodes_.begin(), nodes_.end(),
                      [](const Node& node) { return node.is_alive(); });
}

void Monitor::begin_shutdown(const char* why) {
  log_->info("shutting down: {}", why);
  shutting_down_ = true;
  power_off_at_ns_ = now_ns() + orderly_ns;
  for (Client& client : clients_) {
    if (std::exchange(client.waits_for, -1) < 0) continue;
    send(client,
         {{"ok", false}, {"code", "refused"}, {"error", "the machine is being shut down"}});
  }
  for (Node& node : nodes_) {
    if (node.comeback.under_way) power_off(node);
    // A kernel that takes no message runs no more, or has lost its way.
    if (node.is_alive() && !tell(node, {{"op", "shutdown"}})) power_off(node);
  }
}

void Monitor::power_off_all() {
  for (Node& node : nodes_) {
    if (node.is_alive()) power_off(node);
  }
}

bool Monitor::wait_until_gone(std::uint64_t deadline_ns) {
  while (!all_gone()) {
    if (now_ns() >= deadline_ns) return false;
    pump(deadline_ns);
  }
  return true;
}

// The power processes are gone; kernels, starters and tasks follow them within moments, and the
// lock tells when the last of them has.
void Monitor::clean_up() {
  listener_.reset();
  reap_strays();
  if (outlive_other_holders(lock_, plan_.machine_dir, now_ns() + clean_up_ns)) {
    remove_machine_files(plan_.machine_dir, true);
  } else {
    log_->warn("something of the machine still lives or somebody boots it anew; its files stay");
  }
  // Who has let go of the lock may still be dying.
  for (const std::uint64_t end_ns = now_ns() + strays_ns; !reap_strays() && now_ns() < end_ns;) {
    const timespec pause = to_timespec(ns_per_ms);
    ::nanosleep(&pause, nullptr);
  }
  for (Client& client : clients_) {
    if (!client.waits_for_end || !client.socket) continue;
    [[maybe_unused]] const auto sent = machine::channel_send(
        client.socket.get(), machine::bytes_of(std::string_view(R"({"ok":true})")), {},
        now_ns() + goodbye_ns);
  }
  clients_.clear();
}

}  // namespace hive::monitor
