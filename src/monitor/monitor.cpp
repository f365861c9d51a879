#include "monitor/monitor.h"

#include <algorithm>
#include <bit>
#include <csignal>
#include <fstream>
#include <utility>

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "machine/linux/power.h"
#include "monitor/json_words.h"
#include "monitor/last_words.h"

namespace hive::monitor {

using Json = nlohmann::json;

namespace {

constexpr int messages_at_once = 64;  // of one peer, before the others have their turn
constexpr std::uint64_t forever = ~std::uint64_t{0};

int timeout_ms(std::uint64_t deadline_ns) {
  if (deadline_ns == forever) return -1;
  const std::uint64_t now = now_ns();
  if (deadline_ns <= now) return 0;
  return static_cast<int>(std::min<std::uint64_t>((deadline_ns - now) / ns_per_ms + 1, 60'000));
}

}  // namespace

Monitor::Monitor(BootPlan plan, UniqueFd lock, UniqueFd log_fd, UniqueFd waiter,
                 std::shared_ptr<spdlog::logger> log)
    : plan_(std::move(plan)),
      lock_(std::move(lock)),
      log_fd_(std::move(log_fd)),
      waiter_(std::move(waiter)),
      log_(std::move(log)) {
  // What a dying power process leaves comes to us and is reaped here, not by an init that may not.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void Monitor::pump(std::uint64_t deadline_ns) {
  std::vector<pollfd> polls;
  std::vector<std::size_t> owners;  // index into nodes_ or clients_
  const auto watch = [&](int fd, std::size_t owner) {
    polls.push_back({fd, POLLIN, 0});  // a negative descriptor is passed over by poll
    owners.push_back(owner);
  };
  watch(signals_.fd(), 0);
  watch(waiter_.get(), 0);
  watch(clients_.size() < clients_max ? listener_.get() : -1, 0);
  const std::size_t first_node = polls.size();
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    watch(nodes_[i].channel.get(), i);
    watch(nodes_[i].power_pidfd.get(), i);
    watch(nodes_[i].start_report.get(), i);
    watch(nodes_[i].adoption.get(), i);
  }
  const std::size_t first_client = polls.size();
  for (std::size_t i = 0; i < clients_.size(); ++i) watch(clients_[i].socket.get(), i);

  if (::poll(polls.data(), polls.size(), timeout_ms(deadline_ns)) <= 0) return;
  if (polls[0].revents != 0) on_signal();
  if (polls[1].revents != 0) {  // it never says anything: this is its end
    given_up_ = true;
    waiter_.reset();
  }
  for (std::size_t i = first_node; i < first_client; i += 4) {
    Node& node = nodes_[owners[i]];
    if (polls[i].revents != 0) on_channel(node);
    if (polls[i + 2].revents != 0) on_start_report(node);
    if (polls[i + 3].revents != 0) on_adoption(node);
    if (polls[i + 1].revents != 0) on_power_lost(node);
  }
  for (std::size_t i = first_client; i < polls.size(); ++i) {
    if (polls[i].revents != 0) on_request(clients_[owners[i]]);
  }
  std::erase_if(clients_, [](const Client& client) { return !client.socket; });
  if (polls[2].revents != 0) on_connection();
}

void Monitor::on_signal() {
  const int signal = signals_.take();
  if (signal == 0) return;
  if (signal == SIGCHLD) {
    reap_strays();
    return;
  }
  given_up_ = true;
  if (shutting_down_) {
    log_->warn("signal {} again: switching all nodes off", signal);
    power_off_all();
    return;
  }
  begin_shutdown("a signal");
}

void Monitor::on_connection() {
  UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return;
  const auto peer = machine::channel_peer(socket.get());
  if (!peer || (peer->uid != ::getuid() && peer->uid != 0)) return;
  clients_.push_back(Client{std::move(socket)});
}

void Monitor::on_request(Client& client) {
  const auto message = machine::channel_receive(client.socket.get(), 0);
  if (!message) {
    if (message.error().code == Code::timed_out) return;
    count_garbage("monitor.sock");
    client.socket.reset();
    return;
  }
  if (message->end) {
    client.socket.reset();
    return;
  }
  const Json request = parse_message(*message);
  if (request.is_null()) return count_garbage("monitor.sock");
  answer(client, request);
}

void Monitor::answer(Client& client, const Json& request) {
  const std::string op = text_of(request, "op");
  if (op == "shutdown") {
    client.waits_for_end = true;
    given_up_ = true;
    if (!shutting_down_) begin_shutdown("hive shutdown");
    return;
  }
  if (op == "ping") return send(client, {{"ok", true}, {"garbage", garbage_}});
  if (op == "reboot") return reboot_order(client, request);
  if (op == "drain") return drain_order(client, request);
  send(client,
       {{"ok", false}, {"code", "bad_argument"}, {"error", "the monitor knows no such request"}});
  count_garbage("monitor.sock");
}

void Monitor::on_channel(Node& node) {
  for (int i = 0; i < messages_at_once && node.channel; ++i) {
    auto message = machine::channel_receive(node.channel.get(), 0);
    if (!message && message.error().code == Code::timed_out) return;
    if (!message || message->end) {
      node.channel.reset();  // the power process tells the rest
      return;
    }
    const Json event = parse_message(*message);
    if (event.is_null()) {
      count_garbage("a kernel");
      continue;
    }
    on_kernel_event(node, event, std::move(message->fds));
  }
}

void Monitor::on_kernel_event(Node& node, const Json& event, std::vector<UniqueFd> fds) {
  const std::string name = text_of(event, "event");
  if (name == "ready" && node.stage == Stage::starting) {
    node.stage = Stage::ready;
    node.kernel_pid = static_cast<int>(number_of(event, "pid"));
    if (!fds.empty()) node.kernel_pidfd = std::move(fds.front());
    on_comeback_event(node, Stage::ready);
  } else if (name == "connected" && node.stage == Stage::ready) {
    node.stage = Stage::connected;
    on_comeback_event(node, Stage::connected);
  } else if (name == "up" && node.stage == Stage::connected) {
    node.stage = Stage::up;
    on_comeback_event(node, Stage::up);
  } else if (name == "failed") {
    node.cause = text_of(event, "cause");
    node.comeback.unsound |= event.contains("check");
    log_->error("cell {} can not go on: {}", node.id, node.cause);
  } else if (name == "reboot") {
    on_reboot_asked(node, event);
  } else if (name == "cell_down") {
    log_->warn("cell {} saw cell {} fail (epoch {}): {}", node.id, number_of(event, "cell"),
               number_of(event, "epoch"), text_of(event, "cause"));
  } else {
    count_garbage("a kernel");
  }
}

void Monitor::on_power_lost(Node& node) {
  on_channel(node);  // what it said before
  const std::string how = reap(node);
  if (node.cause.empty()) node.cause = last_words(plan_.machine_dir, node.id);
  if (shutting_down_) {
    log_->info("node {} is off", node.id);
  } else if (node.drain.under_way) {
    log_->info("node {} is off: drained", node.id);
  } else {
    log_->warn("node {} has failed: its power process {}{}{}", node.id, how,
               node.cause.empty() ? "" : "; ", node.cause);
  }
  if (node.comeback.under_way) return on_comeback_failed(node);
  on_member_lost(node);
}

// Children that are no power processes: kernels, starters and stray tasks of nodes that are off.
// All of them are dying, or should be. Returns whether there is none left.
bool Monitor::reap_strays() {
  bool none_left = true;
  std::ifstream children("/proc/thread-self/children");
  for (pid_t child = 0; children >> child;) {
    const bool is_power = std::any_of(nodes_.begin(), nodes_.end(), [child](const Node& node) {
      return node.is_alive() && node.power_pid == child;
    });
    if (is_power) continue;
    ::kill(child, SIGKILL);  // our own child, not yet reaped: the number is no other's
    none_left &= ::waitpid(child, nullptr, WNOHANG) == child;
  }
  return none_left;
}

void Monitor::count_garbage(const char* from) {
  ++garbage_;
  // Not one line for each: a peer that babbles must not fill the disk.
  if (std::has_single_bit(garbage_)) {
    log_->warn("{} messages that make no sense so far; the last came from {}", garbage_, from);
  }
}

}  // namespace hive::monitor
