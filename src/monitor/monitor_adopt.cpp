// A monitor that takes over from one that has died. The machine ran on meanwhile.
//
// Everything it has to know is in the boot record, the node records, and what the kernels say:
// each gives it the power switch of its node for a new channel. Nothing is waited for: a kernel
// that is stopped answers when it runs again, and one that is dead refuses the connection at once.
// A node that was being rebooted when the old monitor died ends itself; the recovery master asks
// again.

#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "base/time.h"
#include "machine/linux/fd_channel.h"
#include "monitor/boot_record.h"
#include "monitor/json_words.h"
#include "monitor/machine_lock.h"
#include "monitor/monitor.h"
#include "monitor/node_record.h"

namespace hive::monitor {

using Json = nlohmann::json;

namespace {

constexpr std::uint64_t ask_ns = ns_per_s;

}  // namespace

bool Monitor::adopt() {
  monitor_lock_ = lock_monitor(plan_.machine_dir);
  if (!monitor_lock_) return false;
  if (auto done = write_boot_record(plan_, ::getpid()); !done) {
    log_->error("{}", done.error().text);
  }
  auto listener = machine::channel_listen(proto::monitor_socket(plan_.machine_dir));
  if (!listener) {
    log_->error("monitor.sock: {}", listener.error().message());
    return false;
  }
  listener_ = std::move(*listener);
  log_->info("taking over machine '{}'", plan_.machine);
  nodes_.resize(static_cast<std::size_t>(plan_.cells()));
  for (int id = 0; id < plan_.cells(); ++id) {
    Node& node = nodes_[static_cast<std::size_t>(id)];
    const NodeRecord record = read_node_record(plan_.machine_dir, id);
    node.id = id;
    node.incarnation = record.incarnation;
    if (record.state == "out") node.out = record.reason;
    if (record.state == "draining") {
      node.drain.under_way = true;
      node.drain.again = record.again;
      node.drain.deadline_ns = ~std::uint64_t{0};  // the kernel has its orders
    }
    ask_to_adopt(node);
  }
  return true;
}

void Monitor::ask_to_adopt(Node& node) {
  node.stage = Stage::gone;
  auto channel = machine::channel_pair();
  auto socket = machine::channel_connect(proto::cell_socket(plan_.machine_dir, node.id));
  const int theirs = channel ? channel->second.get() : -1;
  const std::string request = R"({"op":"adopt"})";
  if (channel && socket &&
      machine::channel_send(socket->get(), machine::bytes_of(std::string_view(request)),
                            {&theirs, 1}, now_ns() + ask_ns)) {
    node.stage = Stage::adopting;
    node.adoption = std::move(*socket);
    node.channel = std::move(channel->first);
    return;
  }
  on_adoption(node);
}

// The kernel's answer, or the end of it.
void Monitor::on_adoption(Node& node) {
  Json answer;
  if (node.adoption) {
    auto message = machine::channel_receive(node.adoption.get(), 0);
    if (!message && message.error().code == Code::timed_out) return;
    if (message && !message->end) answer = parse_message(*message);
    if (message && answer.is_object() && answer.value("ok", false) && message->fds.size() == 1) {
      node.power_pidfd = std::move(message->fds[0]);
      node.kernel_pid = static_cast<int>(number_of(answer, "pid"));
      node.adoption.reset();
      node.stage = Stage::up;
      if (std::exchange(node.comeback.wanted, false)) note(node, "up");
      log_->info("cell {} has a monitor again", node.id);
      return;
    }
  }
  node.adoption.reset();
  node.channel.reset();
  node.stage = Stage::gone;
  log_->info("node {} is off{}{}", node.id, node.out.empty() ? "" : ": ", node.out);
  (void)end_drain(node);
}

}  // namespace hive::monitor
