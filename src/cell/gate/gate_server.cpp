#include "cell/gate/gate_server.h"

#include <algorithm>
#include <cerrno>

#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"

namespace hive::cell {

Result<std::unique_ptr<GateServer>> GateServer::create(Parts parts) {
  HIVE_CHECK(parts.heap != nullptr);
  HIVE_CHECK(parts.home != nullptr);
  HIVE_CHECK(parts.names != nullptr);
  HIVE_CHECK(parts.asleep != nullptr);
  UniqueFd doorbell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!doorbell) {
    const Code code = errno == EMFILE || errno == ENFILE ? Code::exhausted : Code::host;
    return fail(code, "Linux refused an eventfd for the gates", parts.self, errno);
  }
  return std::unique_ptr<GateServer>(new GateServer(std::move(parts), std::move(doorbell)));
}

GateServer::GateServer(Parts parts, UniqueFd doorbell)
    : parts_(std::move(parts)),
      doorbell_(std::move(doorbell)),
      dispatcher_(*parts_.home, *parts_.names, parts_.files,
                  [this](std::function<void()> work) { later(std::move(work)); }),
      gates_(std::make_shared<const Gates>()) {}

GateServer::~GateServer() { stop(); }

void GateServer::start() {
  const std::scoped_lock lock(mutex_);
  if (worker_count_ != 0) return;
  stopping_.store(false);
  leader_.store(0);
  workers_[0].thread = std::thread([this] { work(0); });
  worker_count_ = 1;
}

void GateServer::stop() {
  {
    const std::scoped_lock lock(mutex_);
    if (worker_count_ == 0) return;
    stopping_.store(true);
    leader_changed_.notify_all();
  }
  ring();
  // No worker is added any more, since all see stopping_ under the mutex first.
  for (Worker& worker : workers_) {
    if (worker.thread.joinable()) worker.thread.join();
  }
  const std::scoped_lock lock(mutex_);
  worker_count_ = 0;
  by_client_.clear();
  gates_ = std::make_shared<const Gates>();
  version_.fetch_add(1);
}

Result<std::uint64_t> GateServer::add(ClientId client, RequestPages requests) {
  auto gate = Gate::create(*parts_.heap, parts_.self, client, std::move(requests));
  if (!gate) return fail(gate.error());
  const std::uint64_t address = (*gate)->replies_address();
  {
    const std::scoped_lock lock(mutex_);
    HIVE_CHECK(by_client_.emplace(client, *gate).second);
    auto next = std::make_shared<Gates>(*gates_);
    next->push_back(std::move(*gate));
    gates_ = std::move(next);
    version_.fetch_add(1, std::memory_order_release);
  }
  ring();  // the leader may be asleep with the old list
  return address;
}

void GateServer::remove(ClientId client) {
  std::shared_ptr<const Gates> old;  // freed without the mutex
  const std::scoped_lock lock(mutex_);
  const auto at = by_client_.find(client);
  if (at == by_client_.end()) return;
  at->second->retire();
  past_garbage_ += at->second->garbage();
  auto next = std::make_shared<Gates>(*gates_);
  std::erase(*next, at->second);
  old = std::exchange(gates_, std::move(next));
  by_client_.erase(at);
  version_.fetch_add(1, std::memory_order_release);
}

std::uint64_t GateServer::garbage_of(ClientId client) const {
  const std::scoped_lock lock(mutex_);
  const auto at = by_client_.find(client);
  return at == by_client_.end() ? 0 : at->second->garbage();
}

GateServer::Stats GateServer::stats() const {
  Stats stats;
  for (const Worker& worker : workers_) stats.served += worker.served.load();
  stats.unknown = dispatcher_.count(proto::GateOp::none);
  stats.takeovers = takeovers_.load();
  stats.sleeps = sleeps_.load();
  const std::scoped_lock lock(mutex_);
  stats.workers = worker_count_;
  stats.gates = by_client_.size();
  stats.garbage = past_garbage_;
  for (const auto& [client, gate] : by_client_) stats.garbage += gate->garbage();
  return stats;
}

namespace {

class GateMarks final : public PageMarks {
 public:
  using Gates = std::vector<std::shared_ptr<Gate>>;
  explicit GateMarks(std::shared_ptr<const Gates> gates) : gates_(std::move(gates)) {}
  bool is_used(std::uint32_t entry, std::uint32_t sweep) const override {
    return std::ranges::any_of(*gates_, [&](const auto& gate) {
      return static_cast<std::int32_t>(gate->used(entry) - sweep) > 0;
    });
  }

 private:
  const std::shared_ptr<const Gates> gates_;
};

}  // namespace

std::shared_ptr<const PageMarks> GateServer::page_marks() const {
  const std::scoped_lock lock(mutex_);
  if (gates_->empty()) return nullptr;
  return std::make_shared<GateMarks>(gates_);
}

void GateServer::later(std::function<void()> work) {
  {
    const std::scoped_lock lock(deferred_mutex_);
    deferred_.push_back(std::move(work));
    deferred_count_.store(deferred_.size(), std::memory_order_release);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (parts_.asleep->load(std::memory_order_relaxed) != 0) ring();
}

void GateServer::ring() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(doorbell_.get(), &one, sizeof one);
}

// Clients share the doorbell's flags and could make it block, hence the flag on the call.
void GateServer::drain_doorbell() const {
  std::uint64_t count = 0;
  const iovec to{&count, sizeof count};
  [[maybe_unused]] const auto taken = ::preadv2(doorbell_.get(), &to, 1, -1, RWF_NOWAIT);
}

}  // namespace hive::cell
