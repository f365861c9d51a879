// The server side of the gates: workers that look for requests of the clients and answer them.
//
//   GateServer gates({.self = 0, .heap = &heap, .home = &home, .names = &names,
//                     .asleep = &node_header->gate_asleep});
//   gates.start();
//   auto replies = gates.add(client, std::move(request_pages));  // address for AttachWelcome
//   ... gates.doorbell() goes to the client; on every tick gates.watch(now), home.on_tick(now) ...
//   gates.remove(client); home.remove_client(client, Leave::died);
//   gates.stop();                                    // before the home and the heap go
//
// Leader and followers: one worker, the leader, looks at all gates and serves what it finds
// itself. A call may keep it (a process whose mmap lock is held, a big segment to clean): watch()
// sees that after leader_stuck_ns and makes a follower the leader. A worker claims a gate for as
// long as it serves it, so a client keeps one worker at most. There is always one spare follower,
// up to gate_workers_max threads; when all are kept, the next one that is done leads.
//
// Sleep: `asleep` is 1 while the leader sleeps on the doorbell; a client that posts a request and
// sees that rings. A ring may be lost (a client may drain the doorbell); the sleep is short
// enough.
// Lock order: mutex_ is innermost of all but the list of deferred work; none is held while
// serving.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <hive/error.h>
#include "base/fd.h"
#include "base/spin_policy.h"
#include "cell/frames/page_marks.h"
#include "cell/gate/dispatcher.h"
#include "cell/gate/gate.h"

namespace hive::cell {

inline constexpr int gate_workers_max = 4;
inline constexpr std::uint64_t leader_stuck_ns = 2 * ns_per_ms;
// Linux was seen to keep one call for 47 ms; longer than this, on all workers, is no such thing.
inline constexpr std::uint64_t workers_stuck_ns = 250 * ns_per_ms;
inline constexpr std::uint64_t gate_sleep_min_ns = 100 * ns_per_ms;
inline constexpr std::uint64_t gate_sleep_max_ns = ns_per_s;

class GateServer {
 public:
  struct Parts {
    CellId self = 0;
    TaggedHeap* heap = nullptr;      // outlives the server, and so do the others
    Home* home = nullptr;
    NameService* names = nullptr;
    FileRequests* files = nullptr;  // may be none
    std::atomic<std::uint32_t>* asleep = nullptr;  // published; only the server writes it
    std::function<void()> on_thread_start;         // run first by each worker: priority, name
  };
  struct Stats {
    std::uint64_t served = 0;
    std::uint64_t unknown = 0;      // operations
    std::uint64_t garbage = 0;      // requests of clients present and past
    std::uint64_t takeovers = 0;    // a follower was made leader
    std::uint64_t sleeps = 0;
    int workers = 0;
    std::size_t gates = 0;
  };

  // Errors: host, exhausted (no descriptor).
  static Result<std::unique_ptr<GateServer>> create(Parts parts);
  GateServer(const GateServer&) = delete;
  GateServer& operator=(const GateServer&) = delete;
  ~GateServer();  // stops

  void start();
  void stop();

  // An eventfd; clients get a duplicate. Owned by the server.
  int doorbell() const { return doorbell_.get(); }

  // Any thread; does not block. Returns the machine-wide address of the client's GateReplies.
  // Errors: exhausted.
  Result<std::uint64_t> add(ClientId client, RequestPages requests);
  // Nothing is taken from the client any more. What is under way ends by itself: remove the client
  // from the home next.
  void remove(ClientId client);
  // How many senseless requests the client has made; 0 for unknown ones.
  std::uint64_t garbage_of(ClientId client) const;

  // On every tick; does not block.
  void watch(std::uint64_t now);
  // Whether nobody serves any more: all workers are in calls, and the leader for workers_stuck_ns.
  bool is_stuck(std::uint64_t now) const;
  Stats stats() const;

  // What the clients that there are now have marked in the page table.
  std::shared_ptr<const PageMarks> page_marks() const;

 private:
  using Gates = std::vector<std::shared_ptr<Gate>>;
  // What a worker is at; only for itself, but for `busy_since`.
  struct Worker {
    std::thread thread;
    std::atomic<std::uint64_t> busy_since{0};  // 0: not in a call
    std::atomic<std::uint64_t> served{0};
    bool idle = false;  // waits to be made leader; guarded by mutex_
  };
  struct View {
    std::shared_ptr<const Gates> gates;
    std::uint64_t version = 0;
  };

  GateServer(Parts parts, UniqueFd doorbell);

  void work(int index);
  void lead(int index);
  bool follow(int index);
  void ensure_spare();
  bool is_leader(int index) const { return leader_.load(std::memory_order_acquire) == index; }
  bool is_busy_for(int index, std::uint64_t now, std::uint64_t limit_ns) const;
  void refresh(View& view);
  bool serve_all(int index, View& view, std::uint64_t& now);
  void serve(Worker& self, const std::shared_ptr<Gate>& gate);
  bool run_deferred(Worker& self, std::uint64_t now);
  bool has_work(const View& view) const;
  void sleep(int index, View& view, std::uint64_t sleep_ns);
  bool say_asleep(int index, std::uint32_t value);
  void later(std::function<void()> work);
  void ring() const;
  void drain_doorbell() const;

  const Parts parts_;
  const UniqueFd doorbell_;
  Dispatcher dispatcher_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> leader_{0};  // changed under mutex_
  std::array<Worker, gate_workers_max> workers_;
  std::atomic<std::uint64_t> takeovers_{0};
  std::atomic<std::uint64_t> sleeps_{0};

  mutable std::mutex mutex_;
  std::condition_variable leader_changed_;
  int worker_count_ = 0;                 // guarded by mutex_
  std::map<ClientId, std::shared_ptr<Gate>> by_client_;  // guarded by mutex_
  std::shared_ptr<const Gates> gates_;   // guarded by mutex_; a new one for each change
  std::uint64_t past_garbage_ = 0;       // guarded by mutex_; of clients that are gone
  std::atomic<std::uint64_t> version_{1};  // of gates_

  mutable std::mutex deferred_mutex_;
  std::deque<std::function<void()>> deferred_;  // guarded by deferred_mutex_
  std::atomic<std::size_t> deferred_count_{0};
};

}  // namespace hive::cell
