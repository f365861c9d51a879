// What a cell does in the three steps of a recovery: close, discard, settle; see membership.h.
#include <cstdint>
#include <limits>

#include "base/futex.h"
#include "base/time.h"
#include "cell/member/membership.h"
#include "machine/fault_point.h"

namespace hive::cell {
namespace {

constexpr std::size_t losses_max = 256;

}  // namespace

void Membership::close(const MemberOrder& order) {
  machine::fault_point(machine::FaultPoint::recovery_begin);
  for (CellSet dead = order.cells; !dead.empty(); dead.remove(dead.lowest())) {
    const CellId cell = dead.lowest();
    const std::uint64_t now = now_ns();
    note_sign(cell, "its power went off", now);
    Loss& loss = losing_[cell];
    loss.cell = cell;
    loss.incarnation = incarnation_of(order.view[cell]);
    if (loss.known_off_ns == 0) loss.known_off_ns = now;
    if (loss.cause.empty()) loss.cause = "it was switched off";
    for (const Participant& participant : participants_) participant.close(cell, loss.cause);
    loss.closed_ns = now_ns();
    core_.on_progress();
  }
  core_.on_closed(order.round, now_ns());
}

void Membership::discard(const MemberOrder& order) {
  for (CellSet dead = order.cells; !dead.empty(); dead.remove(dead.lowest())) {
    const CellId cell = dead.lowest();
    Loss& loss = losing_[cell];
    loss.passed_ns = now_ns();
    for (const Participant& participant : participants_) participant.discard(cell);
    loss.discarded_ns = now_ns();
    core_.on_progress();
  }
  core_.on_discarded(order.round, now_ns());
}

void Membership::publish_live_set(CellSet live, std::uint64_t epoch) {
  own_->live_set.store(live.bits(), std::memory_order_release);
  own_->epoch.store(epoch, std::memory_order_release);
  own_->epoch_word.store(static_cast<std::uint32_t>(epoch), std::memory_order_release);
  futex_wake(&own_->epoch_word, std::numeric_limits<int>::max());
}

void Membership::settle(const MemberOrder& order) {
  Settled settled{.live = order.view.live(), .back = {}, .epoch = order.epoch, .losses = {}};
  settled.back = CellSet(settled.live.bits() & ~own_->live_set.load(std::memory_order_relaxed));
  for (auto at = losing_.begin(); at != losing_.end();) {
    if (at->second.discarded_ns == 0) {  // accused only, or not yet gone through
      ++at;
      continue;
    }
    at->second.epoch = order.epoch;
    at->second.done_ns = now_ns();
    settled.losses.push_back(at->second);
    at = losing_.erase(at);
  }
  publish_live_set(settled.live, order.epoch);
  {
    const std::scoped_lock lock(losses_mutex_);
    losses_.insert(losses_.end(), settled.losses.begin(), settled.losses.end());
    if (losses_.size() > losses_max) losses_.erase(losses_.begin());
  }
  machine::fault_point(machine::FaultPoint::recovery_settled);
  parts_.settled(settled);
}

}  // namespace hive::cell
