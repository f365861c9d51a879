// Nodes that have died come back: started anew with the next incarnation, one at a time, while the
// machine runs on. Nothing here waits: a start is a row of events.
//
//   wanted -> (its turn) begin_comeback -> start report -> ready -> `connect` -> connected -> `go`
//          -> up
// Who fails on the way is started again, until it has failed too often; then it stays out, with
// the reason in its record. A failure counts only when no other node died meanwhile: a joiner
// whose peers die under its hands is not to blame.

#include <algorithm>

#include <fmt/format.h>

#include "base/time.h"
#include "machine/linux/power.h"
#include "monitor/json_words.h"
#include "monitor/monitor.h"
#include "monitor/node_record.h"

namespace hive::monitor {

using Json = nlohmann::json;

namespace {

constexpr std::uint64_t forever = ~std::uint64_t{0};
// From the start of the processes to being up, with the memory test.
constexpr std::uint64_t comeback_max_ns = 45 * ns_per_s;
// A node that dies so soon after it came back has failed to come back.
constexpr std::uint64_t probation_ns = 60 * ns_per_s;

}  // namespace

int Monitor::members() const {
  return static_cast<int>(std::count_if(nodes_.begin(), nodes_.end(),
                                        [](const Node& node) { return node.is_member(); }));
}

bool Monitor::has_failed_too_often(int failures) const {
  return plan_.tries != 0 && failures >= plan_.tries;
}

bool Monitor::note(const Node& node, const char* state, const std::string& reason) {
  const NodeRecord record{node.incarnation, state, reason, node.drain.again};
  if (write_node_record(plan_.machine_dir, node.id, record)) return true;
  log_->error("the record of node {} can not be written", node.id);
  return false;
}

// A kernel has settled a recovery, and asks for what it has lost.
void Monitor::on_reboot_asked(const Node& by, const Json& event) {
  const std::int64_t cell = number_of(event, "cell");
  if (cell < 0 || cell >= plan_.cells()) return count_garbage("a kernel");
  Node& node = nodes_[static_cast<std::size_t>(cell)];
  if (shutting_down_ || !plan_.reboot || !node.out.empty() || node.drain.under_way) return;
  if (node.comeback.wanted || node.comeback.under_way) return;
  // Of one that lives it may have seen the end before us; or what it saw was an earlier life. One
  // that has not answered a new monitor yet may be a joiner of which the cells know nothing.
  const std::int64_t incarnation = number_of(event, "incarnation");
  const bool is_known = node.is_alive() && node.stage != Stage::adopting;
  if (is_known && incarnation <= static_cast<std::int64_t>(node.incarnation)) return;
  log_->info("cell {} asks for node {} to be started anew", by.id, node.id);
  node.comeback.wanted = true;
  note(node, "rebooting");
}

// The earliest time at which something has to be given up.
std::uint64_t Monitor::next_deadline() const {
  std::uint64_t next = power_off_at_ns_ != 0 ? power_off_at_ns_ : forever;
  for (const Node& node : nodes_) {
    if (node.comeback.under_way) next = std::min(next, node.comeback.deadline_ns);
    if (node.drain.under_way) next = std::min(next, node.drain.deadline_ns);
  }
  return next;
}

// Called whenever something may have happened.
void Monitor::advance_comebacks() {
  if (shutting_down_) return;
  bool one_under_way = false;
  for (Node& node : nodes_) {
    one_under_way |= node.comeback.under_way;
    const std::uint64_t now = now_ns();
    if (node.comeback.under_way && now >= node.comeback.deadline_ns) {
      if (node.cause.empty()) node.cause = "it did not come up in time";
      node.comeback.deadline_ns = forever;
      power_off(node);
    }
    if (node.drain.under_way && now >= node.drain.deadline_ns) {
      log_->warn("cell {} does not end: switching it off", node.id);
      node.drain.deadline_ns = forever;
      power_off(node);
    }
  }
  for (Node& node : nodes_) {
    if (one_under_way || members() == 0) return;
    if (!node.comeback.wanted || node.is_alive()) continue;
    begin_comeback(node);
    one_under_way = node.comeback.under_way;
  }
}

void Monitor::begin_comeback(Node& node) {
  ++node.incarnation;
  node.comeback.wanted = false;
  node.comeback.unsound = false;
  node.comeback.deaths_before = deaths_;
  node.cause.clear();
  // Before it starts: a number that another monitor does not know of would be used twice.
  if (!note(node, "rebooting")) return keep_out(node, "its record can not be written");
  machine::NodeStart start;
  auto channel = begin_start(node, start);
  if (!channel) return count_failure(node, channel.error().message());
  const UniqueFd theirs(start.monitor_channel);
  auto starting = machine::begin_node(start);
  if (!starting) return count_failure(node, starting.error().message());
  log_->info("starting node {} anew, incarnation {}", node.id, node.incarnation);
  node.power_pid = starting->node.power_pid;
  node.power_pidfd = std::move(starting->node.power_pidfd);
  node.start_report = std::move(starting->report);
  node.channel = std::move(*channel);
  node.stage = Stage::starting;
  node.kernel_pid = -1;
  node.comeback.under_way = true;
  node.comeback.deadline_ns = now_ns() + comeback_max_ns;
}

void Monitor::on_start_report(Node& node) {
  const auto started = machine::node_started(node.start_report.get(), node.id);
  node.start_report.reset();
  if (started) return;
  node.cause = started.error().message();
  power_off(node);
}

void Monitor::on_comeback_event(Node& node, Stage reached) {
  if (!node.comeback.under_way) return;
  bool told = true;
  if (reached == Stage::ready) {
    Json live = Json::array();
    for (const Node& other : nodes_) {
      if (other.is_member()) live.push_back(other.id);
    }
    told = tell(node, {{"op", "connect"}, {"cells", live}});
  } else if (reached == Stage::connected) {
    told = tell(node, {{"op", "go"}});
  } else if (reached == Stage::up) {
    node.comeback.under_way = false;
    node.comeback.up_at_ns = now_ns();
    note(node, "up");
    log_->info("cell {} is up again, incarnation {}, {} ms after its start", node.id,
               node.incarnation,
               (now_ns() + comeback_max_ns - node.comeback.deadline_ns) / ns_per_ms);
    on_node_up(node);
  }
  if (!told) power_off(node);
}

// A node is off. False if nobody has drained it.
bool Monitor::end_drain(Node& node) {
  const Drain drain = std::exchange(node.drain, Drain{});
  if (!drain.under_way) return false;
  if (drain.again) {
    node.comeback.wanted = true;
    note(node, "rebooting");
  } else {
    keep_out(node, "drained");
  }
  return true;
}

// A part of the machine has gone.
void Monitor::on_member_lost(Node& node) {
  ++deaths_;
  if (shutting_down_) {
    node.drain = {};
    return;
  }
  if (end_drain(node)) return on_node_off(node);
  const bool soon =
      node.comeback.up_at_ns != 0 && now_ns() - node.comeback.up_at_ns < probation_ns;
  if (!soon) node.comeback.failures = 0;
  if (!node.comeback.wanted) note(node, "down", node.cause);
  if (soon && has_failed_too_often(++node.comeback.failures)) {
    node.comeback.wanted = false;
    keep_out(node, fmt::format("it died {} times within {} s of its coming back{}{}",
                               node.comeback.failures, probation_ns / ns_per_s,
                               node.cause.empty() ? "" : ", the last time: ", node.cause));
  }
  on_node_off(node);
}

void Monitor::on_comeback_failed(Node& node) {
  node.comeback.under_way = false;
  if (shutting_down_) return;
  const std::string why = node.cause.empty() ? "it ended while it started" : node.cause;
  if (node.comeback.unsound) return keep_out(node, why);
  count_failure(node, why);
}

// A start that came to nothing: once more, or never again.
void Monitor::count_failure(Node& node, const std::string& why) {
  log_->warn("node {} did not come back (incarnation {}): {}", node.id, node.incarnation, why);
  if (deaths_ == node.comeback.deaths_before) ++node.comeback.failures;
  if (has_failed_too_often(node.comeback.failures)) {
    return keep_out(
        node, fmt::format("it did not come back in {} tries: {}", node.comeback.failures, why));
  }
  node.comeback.wanted = true;
  note(node, "rebooting");
}

void Monitor::keep_out(Node& node, const std::string& reason) {
  node.out = reason;
  note(node, "out", reason);
  log_->warn("node {} stays out: {}", node.id, reason);
  on_node_off(node);
}

}  // namespace hive::monitor
