// The monitor: the service processor of a machine. It boots the nodes, watches their power
// processes, takes orders on monitor.sock, and removes what is left when the last node is gone.
// It is in no data path: when it dies, cells and tasks go on, and the lowest live cell starts
// another, which takes over (monitor_adopt.cpp).
//
// A node that has died comes back when the recovery master asks for it (monitor_reboot.cpp).
//
// Until every kernel has answered `go` (proto::up_file says so), the machine is tied to it: a
// kernel whose channel to the monitor closes before that ends itself, and with it its node.
// Single-threaded.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <spdlog/logger.h>
#include <nlohmann/json.hpp>

#include <hive/error.h>
#include "base/fd.h"
#include "machine/linux/fd_channel.h"
#include "machine/linux/power.h"
#include "monitor/node.h"
#include "monitor/plan.h"
#include "monitor/refusal.h"
#include "monitor/signals.h"

namespace hive::monitor {

inline constexpr std::size_t clients_max = 32;  // connections to monitor.sock at a time

class Monitor {
 public:
  // `lock`: the machine's lock. `log_fd`: what the nodes write to. `waiter`: a socket whose end
  // means that nobody waits for the boot any more, so that it is given up; invalid for none.
  Monitor(BootPlan plan, UniqueFd lock, UniqueFd log_fd, UniqueFd waiter,
          std::shared_ptr<spdlog::logger> log);

  // Starts everything; blocks until all cells are up. On an error nothing is left running, and the
  // runtime directory is gone.
  Outcome<void> boot();
  // For once the boot has been reported.
  void release_waiter() { waiter_.reset(); }
  int waiter() const { return waiter_.get(); }

  // Takes over a machine that runs: its boot record is the plan. Returns false when it has a
  // monitor already, or there is nothing to take over.
  bool adopt();

  // Watches until every node is gone, then removes the machine's files. Returns the exit status:
  // exit_ok after an orderly shutdown, exit_failed when the last cell has failed.
  int serve();

 private:
  struct Client {
    UniqueFd socket;
    bool waits_for_end = false;
    int waits_for = -1;  // a node, until it is up again or off
    bool wants_up = false;
  };

  // monitor_boot.cpp
  Outcome<void> start_nodes();
  Outcome<void> start_node(int id);
  Result<UniqueFd> begin_start(const Node& node, machine::NodeStart& start) const;
  Outcome<void> reach(Stage stage, const nlohmann::json& order);
  Outcome<void> mark_up() const;
  bool all_reached(Stage stage) const;
  Outcome<void> boot_trouble() const;
  std::uint64_t step_ns() const;

  // monitor_reboot.cpp
  void on_reboot_asked(const Node& by, const nlohmann::json& event);
  void on_comeback_event(Node& node, Stage reached);
  void on_start_report(Node& node);
  void advance_comebacks();
  void begin_comeback(Node& node);
  void on_member_lost(Node& node);
  void on_comeback_failed(Node& node);
  void count_failure(Node& node, const std::string& why);
  bool has_failed_too_often(int failures) const;
  void keep_out(Node& node, const std::string& reason);
  bool note(const Node& node, const char* state, const std::string& reason = "");
  bool end_drain(Node& node);
  std::uint64_t next_deadline() const;
  int members() const;

  // monitor_orders.cpp: `hive reboot`, `hive drain`
  void reboot_order(Client& client, const nlohmann::json& request);
  void drain_order(Client& client, const nlohmann::json& request);
  Node* node_of(Client& client, const nlohmann::json& request);
  void drain(Node& node, std::uint64_t grace_ns, bool again);
  void on_node_up(Node& node);
  void on_node_off(Node& node);
  void send(Client& client, const nlohmann::json& reply);

  // monitor_adopt.cpp
  void ask_to_adopt(Node& node);
  void on_adoption(Node& node);

  // monitor_service.cpp
  bool all_gone() const;
  void begin_shutdown(const char* why);
  void power_off_all();
  bool wait_until_gone(std::uint64_t deadline_ns);
  void clean_up();

  // monitor.cpp: what happens; pump() waits for it until the deadline
  void pump(std::uint64_t deadline_ns);
  void on_signal();
  void on_connection();
  void on_request(Client& client);
  void answer(Client& client, const nlohmann::json& request);
  void on_channel(Node& node);
  void on_kernel_event(Node& node, const nlohmann::json& event, std::vector<UniqueFd> fds);
  void on_power_lost(Node& node);
  bool reap_strays();
  void count_garbage(const char* from);

  BootPlan plan_;
  UniqueFd lock_;
  UniqueFd log_fd_;
  UniqueFd waiter_;
  std::shared_ptr<spdlog::logger> log_;
  SignalPipe signals_;
  UniqueFd listener_;
  std::vector<Node> nodes_;
  std::vector<Client> clients_;
  bool shutting_down_ = false;
  bool given_up_ = false;              // the boot: told to stop, or nobody waits for it
  std::uint64_t power_off_at_ns_ = 0;  // of a shutdown, for nodes that have not gone by then
  UniqueFd monitor_lock_;
  std::uint64_t deaths_ = 0;           // of nodes that were members
  std::uint64_t garbage_ = 0;          // messages that made no sense
};

}  // namespace hive::monitor
