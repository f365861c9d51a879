// The workers of the gate server: who leads, when to spin, how to sleep.

#include <algorithm>

#include <poll.h>
#include <sched.h>

#include "cell/gate/gate_server.h"

namespace hive::cell {

namespace {

bool has_two_processors() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  return ::sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 1;
}

}  // namespace

void GateServer::work(int index) {
  if (parts_.on_thread_start) parts_.on_thread_start();
  while (!stopping_.load(std::memory_order_acquire)) {
    if (is_leader(index)) {
      lead(index);
    } else if (!follow(index)) {
      return;
    }
  }
}

// Waits to be made leader. False: the server stops.
bool GateServer::follow(int index) {
  Worker& self = workers_[static_cast<std::size_t>(index)];
  std::unique_lock lock(mutex_);
  // Who was kept by a call comes here when it is done; perhaps everybody else is kept now.
  const int leader = leader_.load(std::memory_order_relaxed);
  if (leader != index && is_busy_for(leader, now_ns(), leader_stuck_ns)) {
    leader_.store(index, std::memory_order_release);
    takeovers_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  self.idle = true;
  leader_changed_.wait(lock, [&] { return is_leader(index) || stopping_.load(); });
  self.idle = false;
  return !stopping_.load();
}

void GateServer::ensure_spare() {
  const std::scoped_lock lock(mutex_);
  if (stopping_.load() || worker_count_ == gate_workers_max) return;
  for (int i = 0; i < worker_count_; ++i) {
    if (workers_[static_cast<std::size_t>(i)].idle) return;
  }
  const int index = worker_count_++;
  workers_[static_cast<std::size_t>(index)].thread = std::thread([this, index] { work(index); });
}

bool GateServer::is_busy_for(int index, std::uint64_t now, std::uint64_t limit_ns) const {
  const std::uint64_t since =
      workers_[static_cast<std::size_t>(index)].busy_since.load(std::memory_order_relaxed);
  return since != 0 && now > since + limit_ns;
}

void GateServer::watch(std::uint64_t now) {
  if (!is_busy_for(leader_.load(std::memory_order_acquire), now, leader_stuck_ns)) return;
  const std::scoped_lock lock(mutex_);
  for (int i = 0; i < worker_count_; ++i) {
    Worker& worker = workers_[static_cast<std::size_t>(i)];
    if (!worker.idle || is_leader(i)) continue;
    leader_.store(i, std::memory_order_release);
    takeovers_.fetch_add(1, std::memory_order_relaxed);
    leader_changed_.notify_all();
    return;
  }
}

bool GateServer::is_stuck(std::uint64_t now) const {
  if (!is_busy_for(leader_.load(std::memory_order_acquire), now, workers_stuck_ns)) return false;
  const std::scoped_lock lock(mutex_);
  if (worker_count_ < gate_workers_max) return false;
  return std::none_of(workers_.begin(), workers_.end(), [](const Worker& w) { return w.idle; });
}

void GateServer::lead(int index) {
  ensure_spare();
  ServerSpin spin(has_two_processors());
  View view;
  std::uint64_t sleep_ns = gate_sleep_min_ns;
  while (is_leader(index) && !stopping_.load(std::memory_order_relaxed)) {
    refresh(view);
    std::uint64_t now = now_ns();
    if (serve_all(index, view, now)) {
      spin.served(now);
      sleep_ns = gate_sleep_min_ns;
    } else if (spin.look_again(now)) {
      cpu_relax();
    } else if (is_leader(index)) {
      sleep(index, view, sleep_ns);
      sleep_ns = std::min(2 * sleep_ns, gate_sleep_max_ns);
    }
  }
}

void GateServer::refresh(View& view) {
  if (view.version == version_.load(std::memory_order_acquire)) return;
  const std::scoped_lock lock(mutex_);
  view.gates = gates_;
  view.version = version_.load(std::memory_order_relaxed);
}

// Serves what is there; `now` is brought up to date when something was. Ends early when another
// worker was made leader meanwhile.
bool GateServer::serve_all(int index, View& view, std::uint64_t& now) {
  Worker& self = workers_[static_cast<std::size_t>(index)];
  bool any = run_deferred(self, now);
  for (const std::shared_ptr<Gate>& gate : *view.gates) {
    if (!gate->has_mail() || !gate->claim()) continue;
    self.busy_since.store(now, std::memory_order_relaxed);
    serve(self, gate);
    gate->release();
    self.busy_since.store(0, std::memory_order_relaxed);
    now = now_ns();
    any = true;
    if (!is_leader(index)) {
      // The new leader could not see what came through this gate while it was claimed.
      ring();
      break;
    }
  }
  return any;
}

void GateServer::serve(Worker& self, const std::shared_ptr<Gate>& gate) {
  TakenRequest taken;
  for (std::uint32_t slot = 0; gate->take(slot, taken); slot = taken.slot + 1) {
    dispatcher_.run(gate, taken);
    self.served.fetch_add(1, std::memory_order_relaxed);
  }
}

bool GateServer::run_deferred(Worker& self, std::uint64_t now) {
  if (deferred_count_.load(std::memory_order_acquire) == 0) return false;
  std::deque<std::function<void()>> works;
  {
    const std::scoped_lock lock(deferred_mutex_);
    works.swap(deferred_);
    deferred_count_.store(0, std::memory_order_relaxed);
  }
  self.busy_since.store(now, std::memory_order_relaxed);
  for (const auto& work : works) work();
  self.busy_since.store(0, std::memory_order_relaxed);
  return !works.empty();
}

bool GateServer::has_work(const View& view) const {
  if (deferred_count_.load(std::memory_order_acquire) != 0 || stopping_.load() ||
      view.version != version_.load(std::memory_order_acquire)) {
    return true;
  }
  return std::any_of(view.gates->begin(), view.gates->end(),
                     [](const auto& gate) { return gate->has_mail(); });
}

void GateServer::sleep(int index, View& view, std::uint64_t sleep_ns) {
  Worker& self = workers_[static_cast<std::size_t>(index)];
  if (parts_.home->needs_clean_up()) {
    self.busy_since.store(now_ns(), std::memory_order_relaxed);
    parts_.home->clean_up();
    self.busy_since.store(0, std::memory_order_relaxed);
    if (!is_leader(index)) return;
  }
  drain_doorbell();
  if (!say_asleep(index, 1)) return;
  // A client posts and then looks whether we sleep; we say so and then look whether it posted.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!has_work(view)) {
    pollfd wait{doorbell_.get(), POLLIN, 0};
    const timespec timeout = to_timespec(sleep_ns);
    sleeps_.fetch_add(1, std::memory_order_relaxed);
    ::ppoll(&wait, 1, &timeout, nullptr);
  }
  say_asleep(index, 0);
}

// The word is the leader's: one that was relieved must not take it from the next, who may sleep.
bool GateServer::say_asleep(int index, std::uint32_t value) {
  const std::scoped_lock lock(mutex_);
  if (!is_leader(index)) return false;
  parts_.asleep->store(value, std::memory_order_relaxed);
  return true;
}

}  // namespace hive::cell
