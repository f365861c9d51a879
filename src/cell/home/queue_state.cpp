#include "cell/home/queue_state.h"

namespace hive::cell {
namespace cause = proto::cause;

void QueueState::take(Waiter waiter, std::uint64_t now_ns, Outcomes& out) {
  if (done_ == count_) {
    out.add(std::move(waiter.done), empty);
    return;
  }
  if (has_item() && waiting_.empty()) {
    const auto held = leases_of_.find(waiter.client);
    if (held != leases_of_.end() && held->second >= leases_per_client_max) {
      out.add_failure(std::move(waiter.done), Code::exhausted, cause::lease_limit);
      return;
    }
    const std::uint64_t item = lease_to(waiter.client);
    out.add(std::move(waiter.done), item);
    return;
  }
  waiting_.push_back(std::move(waiter));
  expire(now_ns, out);
}

std::uint64_t QueueState::lease_to(ClientId client) {
  std::uint64_t item = fresh_;
  if (returned_.empty()) {
    ++fresh_;
  } else {
    item = returned_.front();
    returned_.pop_front();
  }
  leases_.emplace(item, client);
  ++leases_of_[client];
  return item;
}

Result<void> QueueState::finish(ClientId client, std::uint64_t item, Outcomes& out) {
  const auto lease = leases_.find(item);
  if (lease == leases_.end() || lease->second != client) {
    return fail(Code::bad_argument, cause::not_leased);
  }
  leases_.erase(lease);
  if (const auto held = leases_of_.find(client); --held->second == 0) leases_of_.erase(held);
  ++done_;
  serve_waiting(out);
  return {};
}

void QueueState::serve_waiting(Outcomes& out) {
  while (!waiting_.empty() && (has_item() || done_ == count_)) {
    Waiter waiter = std::move(waiting_.front());
    waiting_.pop_front();
    const std::uint64_t item = done_ == count_ ? empty : lease_to(waiter.client);
    out.add(std::move(waiter.done), item);
  }
}

void QueueState::expire(std::uint64_t now_ns, Outcomes& out) {
  for (Waiter& waiter :
       extract(waiting_, [&](const Waiter& w) { return w.deadline_ns <= now_ns; })) {
    out.add_failure(std::move(waiter.done), Code::timed_out, cause::wait_too_long);
  }
}

void QueueState::end_calls(ClientId client, Outcomes& out) {
  for (Waiter& waiter : extract(waiting_, [&](const Waiter& w) { return w.client == client; })) {
    out.add_failure(std::move(waiter.done), Code::not_found, cause::not_a_task);
  }
}

void QueueState::return_leases(ClientId client, Outcomes& out) {
  if (leases_of_.erase(client) == 0) return;
  for (auto lease = leases_.begin(); lease != leases_.end();) {
    if (lease->second != client) {
      ++lease;
      continue;
    }
    returned_.push_back(lease->first);
    ++returned_total_;
    lease = leases_.erase(lease);
  }
  serve_waiting(out);
}

void QueueState::close(Outcomes& out) {
  for (Waiter& waiter : std::exchange(waiting_, {})) {
    out.add_failure(std::move(waiter.done), Code::not_found, cause::no_such_object);
  }
}

}  // namespace hive::cell
