#include "cell/member/membership.h"

#include <array>
#include <limits>

#include <unistd.h>

#include "base/futex.h"
#include "base/time.h"
#include "machine/linux/lifeline.h"

namespace hive::cell {
namespace {

// The lifelines wake the watcher at once; this is how long a sign that wakes nobody (memory that
// fails, a power process that dies before its kernel) may go unseen.
constexpr std::uint64_t look_interval_ns = 250 * ns_per_ms;
// How long a node that was switched off may take to be known dead. A large kernel takes 170 ms.
constexpr std::uint64_t power_off_max_ns = 2 * ns_per_s;
constexpr useconds_t power_poll_us = 200;

}  // namespace

Membership::Membership(const machine::Layout& layout, CellId self, machine::Hardware& hardware)
    : layout_(layout), self_(self), hardware_(hardware), own_(machine::node_header(layout, self)) {
  live_.add(self);
}

Membership::~Membership() { stop(); }

void Membership::add_participant(Participant participant) {
  participants_.push_back(std::move(participant));
}

void Membership::add(CellId cell) {
  const std::scoped_lock lock(mutex_);
  live_.add(cell);
}

void Membership::rejoin(CellId cell) {
  {
    const std::scoped_lock lock(mutex_);
    live_.add(cell);
    ++epoch_;
  }
  publish();
}

void Membership::set_epoch(std::uint64_t epoch) {
  const std::scoped_lock lock(mutex_);
  epoch_ = epoch;
}

void Membership::start() {
  publish();
  watcher_ = std::jthread([this](std::stop_token stop) { watch(stop); });
}

void Membership::stop() {
  if (!watcher_.joinable()) return;
  watcher_.request_stop();
  watcher_.join();
}

CellSet Membership::live() const {
  const std::scoped_lock lock(mutex_);
  return live_;
}

std::uint64_t Membership::epoch() const {
  const std::scoped_lock lock(mutex_);
  return epoch_;
}

std::vector<Membership::Loss> Membership::losses() const {
  const std::scoped_lock lock(mutex_);
  return losses_;
}

void Membership::publish() {
  const std::scoped_lock lock(mutex_);
  own_->live_set.store(live_.bits(), std::memory_order_relaxed);
  own_->epoch.store(epoch_, std::memory_order_release);
  own_->epoch_word.store(static_cast<std::uint32_t>(epoch_), std::memory_order_release);
  futex_wake(&own_->epoch_word, std::numeric_limits<int>::max());
}

void Membership::watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::array<const machine::NodeHeader*, max_cells> headers{};
    std::size_t count = 0;
    const CellSet others = live();
    for (CellId cell = 0; cell < static_cast<CellId>(layout_.cells); ++cell) {
      if (cell == self_ || !others.has(cell)) continue;
      if (const std::string cause = reason_to_drop(cell); !cause.empty()) {
        mark_down(cell, cause);
      } else {
        headers[count++] = machine::node_header(layout_, cell);
      }
    }
    if (count == 0) {
      ::usleep(look_interval_ns / ns_per_us);  // alone: only stop() is left to wait for
    } else {
      machine::wait_lifelines({headers.data(), count}, self_, now_ns() + look_interval_ns);
    }
  }
}

// Empty while the cell shows no sign of death.
std::string Membership::reason_to_drop(CellId cell) {
  switch (machine::read_lifeline(machine::node_header(layout_, cell), self_)) {
    case machine::LifelineState::marked:
      return "its kernel died";
    case machine::LifelineState::unreadable:
      return "its memory failed";
    case machine::LifelineState::alive:
      break;
  }
  return hardware_.is_off(cell) ? "its power went off" : "";
}

void Membership::mark_down(CellId cell, const std::string& cause) {
  const std::uint64_t noticed = now_ns();
  hardware_.power_off(cell);
  while (!hardware_.is_off(cell) && now_ns() < noticed + power_off_max_ns) ::usleep(power_poll_us);
  for (const Participant& participant : participants_) participant(cell, cause);
  Loss loss;
  std::uint64_t epoch = 0;
  {
    const std::scoped_lock lock(mutex_);
    live_.remove(cell);
    epoch = ++epoch_;
    loss = losses_.emplace_back(Loss{cell, cause, noticed, now_ns()});
  }
  publish();
  if (observer_) observer_(loss, epoch);
}

}  // namespace hive::cell
