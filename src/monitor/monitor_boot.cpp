// The boot: each step is an order to all kernels and the wait until all have answered.

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/time.h"
#include "machine/linux/power.h"
#include "monitor/boot_record.h"
#include "monitor/directories.h"
#include "monitor/machine_lock.h"
#include "monitor/monitor.h"

namespace hive::monitor {

using Json = nlohmann::json;

namespace {

constexpr std::uint64_t step_base_ns = 10 * ns_per_s;
constexpr std::uint64_t step_each_ns = ns_per_s / 5;
constexpr std::uint64_t abort_ns = 10 * ns_per_s;  // for killed processes to be gone

}  // namespace

std::uint64_t Monitor::step_ns() const {
  return step_base_ns + step_each_ns * static_cast<std::uint64_t>(plan_.cells());
}

Outcome<void> Monitor::boot() {
  const std::uint64_t begin = now_ns();
  log_->info("machine '{}': {} cells, firewall {}, boot {}", plan_.machine, plan_.cells(),
             machine::firewall_mode_name(plan_.firewall), plan_.boot_id);
  for (const std::string& name : plan_.sabotage.names()) {
    log_->warn("DEFENCE TURNED OFF for a test: {}", name);
  }
  Outcome<void> done = start_nodes();
  if (done) done = reach(Stage::ready, {});
  if (done) done = reach(Stage::connected, {{"op", "connect"}});
  if (done) done = reach(Stage::up, {{"op", "go"}});
  if (done) done = mark_up();
  if (done) {
    log_->info("all cells are up after {} ms", (now_ns() - begin) / ns_per_ms);
    return done;
  }
  log_->error("the boot has failed: {}", done.error().text);
  shutting_down_ = true;
  power_off_all();
  wait_until_gone(now_ns() + abort_ns);
  clean_up();
  return done;
}

// One step for all cells: a monitor that dies before it leaves none of them, after it all of them.
Outcome<void> Monitor::mark_up() const {
  const std::string path = proto::up_file(plan_.machine_dir);
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (file) return {};
  return refuse(exit_failed, fmt::format("{} can not be made: {}", path, std::strerror(errno)));
}

Outcome<void> Monitor::start_nodes() {
  monitor_lock_ = lock_monitor(plan_.machine_dir);
  if (!monitor_lock_) return refuse(exit_failed, "another process is the machine's monitor");
  if (auto done = write_boot_record(plan_, ::getpid()); !done) return done;
  auto listener = machine::channel_listen(proto::monitor_socket(plan_.machine_dir));
  if (!listener) {
    return refuse(exit_failed, fmt::format("monitor.sock: {}", listener.error().message()));
  }
  listener_ = std::move(*listener);
  nodes_.reserve(plan_.layout.cells);
  for (int id = 0; id < plan_.cells(); ++id) {
    if (auto done = start_node(id); !done) return done;
  }
  return {};
}

// Fills in what every start of a node needs; returns our end of the channel. `start` borrows the
// other end and more.
Result<UniqueFd> Monitor::begin_start(const Node& node, machine::NodeStart& start) const {
  auto channel = machine::channel_pair();
  if (!channel) return fail(channel.error());
  start.node_program = plan_.node_program;
  start.kernel = {plan_.kernel_program,
                  "--machine-dir",
                  plan_.machine_dir,
                  "--cell",
                  std::to_string(node.id),
                  "--incarnation",
                  std::to_string(node.incarnation)};
  start.node = node.id;
  start.monitor_channel = channel->second.release();
  start.lock = lock_.get();
  start.log = log_fd_.get();
  start.processors = plan_.processors[static_cast<std::size_t>(node.id)];
  start.namespaces = plan_.namespaces;
  start.untied = plan_.sabotage.ties;
  return std::move(channel->first);
}

Outcome<void> Monitor::start_node(int id) {
  Node node;
  node.id = id;
  machine::NodeStart start;
  auto channel = begin_start(node, start);
  if (!channel) return refuse(exit_failed, channel.error().message());
  const UniqueFd theirs(start.monitor_channel);
  auto running = machine::start_node(start);
  if (!running) {
    return refuse(exit_failed,
                  fmt::format("node {} can not be started: {}", id, running.error().message()));
  }
  node.power_pid = running->power_pid;
  node.power_pidfd = std::move(running->power_pidfd);
  node.channel = std::move(*channel);
  nodes_.push_back(std::move(node));
  return {};
}

bool Monitor::all_reached(Stage stage) const {
  return std::all_of(nodes_.begin(), nodes_.end(),
                     [stage](const Node& node) { return node.stage == stage; });
}

Outcome<void> Monitor::reach(Stage stage, const Json& order) {
  if (!order.is_null()) {
    for (Node& node : nodes_) tell(node, order);  // one that does not take it will not answer
  }
  const std::uint64_t deadline_ns = now_ns() + step_ns();
  while (!all_reached(stage)) {
    if (auto trouble = boot_trouble(); !trouble) return trouble;
    if (now_ns() < deadline_ns) {
      pump(deadline_ns);
      continue;
    }
    const auto late = std::find_if(nodes_.begin(), nodes_.end(),
                                   [stage](const Node& node) { return node.stage != stage; });
    return refuse(exit_failed,
                  fmt::format("cell {} did not get ready within {} s; see {}", late->id,
                              step_ns() / ns_per_s, log_file(plan_.state_dir)));
  }
  return boot_trouble();
}

// What makes it useless to go on with the boot.
Outcome<void> Monitor::boot_trouble() const {
  for (const Node& node : nodes_) {
    if (!node.cause.empty()) {
      return refuse(exit_failed, fmt::format("cell {} can not start: {}", node.id, node.cause));
    }
  }
  for (const Node& node : nodes_) {
    if (!node.is_alive()) {
      return refuse(exit_failed, fmt::format("cell {} ended while it started; see {}", node.id,
                                             log_file(plan_.state_dir)));
    }
  }
  if (given_up_) return refuse(exit_failed, "the boot was interrupted");
  return {};
}

}  // namespace hive::monitor
