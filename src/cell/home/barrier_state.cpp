#include "cell/home/barrier_state.h"

namespace hive::cell {
namespace cause = proto::cause;

void BarrierState::arrive(Waiter waiter, std::uint64_t now_ns, Outcomes& out) {
  if (broken_) {
    out.add_failure(std::move(waiter.done), Code::lost, cause::barrier_broken);
    return;
  }
  if (waiting_.size() + 1 >= parties_) {
    out.add(std::move(waiter.done), 0);
    for (Waiter& other : std::exchange(waiting_, {})) out.add(std::move(other.done), 0);
    return;
  }
  waiting_.push_back(std::move(waiter));
  expire(now_ns, out);
}

Result<void> BarrierState::reset(std::uint64_t parties) {
  if (!waiting_.empty()) return fail(Code::busy, cause::barrier_in_use);
  parties_ = parties;
  broken_ = false;
  return {};
}

void BarrierState::expire(std::uint64_t now_ns, Outcomes& out) {
  auto late = extract(waiting_, [&](const Waiter& w) { return w.deadline_ns <= now_ns; });
  if (late.empty()) return;
  for (Waiter& waiter : late) {
    out.add_failure(std::move(waiter.done), Code::timed_out, cause::wait_too_long);
  }
  break_it(out);
}

void BarrierState::leave(ClientId client, bool died, Outcomes& out) {
  for (Waiter& waiter : extract(waiting_, [&](const Waiter& w) { return w.client == client; })) {
    out.add_failure(std::move(waiter.done), Code::not_found, cause::not_a_task);
  }
  if (died || !waiting_.empty()) break_it(out);
}

void BarrierState::close(Outcomes& out) {
  for (Waiter& waiter : std::exchange(waiting_, {})) {
    out.add_failure(std::move(waiter.done), Code::not_found, cause::no_such_object);
  }
}

void BarrierState::break_it(Outcomes& out) {
  broken_ = true;
  for (Waiter& waiter : std::exchange(waiting_, {})) {
    out.add_failure(std::move(waiter.done), Code::lost, cause::barrier_broken);
  }
}

}  // namespace hive::cell
