#include "cell/member/membership.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "base/file_lock.h"
#include "base/futex.h"
#include "base/safe_copy.h"
#include "base/time.h"
#include "cell/member/board_change.h"
#include "machine/fault_point.h"
#include "machine/linux/lifeline.h"

namespace hive::cell {
namespace {

constexpr std::uint64_t calm_look_ns = 250 * ns_per_ms;  // for signs that wake nobody
constexpr std::uint64_t busy_look_ns = 10 * ns_per_ms;   // during recovery and ballots
constexpr std::uint64_t off_look_ns = 200 * ns_per_us;   // until a node is known to be off

// Without the fence the vote is taken for the death; without barriers nobody waits in them.
MemberSabotage rules_off(const machine::Sabotage& sabotage) {
  MemberSabotage off;
  off.settle_before_off = off.believe_deaths = sabotage.fence;
  off.skip_first_barrier = off.skip_second_barrier = sabotage.barrier;
  return off;
}

}  // namespace

Membership::Membership(Parts parts)
    : parts_(std::move(parts)),
      own_(machine::node_header(parts_.layout, parts_.self)),
      published_(parts_.heap.create<MemberBoard>()),
      clocks_(parts_.layout, parts_.self),
      core_(parts_.self, static_cast<int>(parts_.layout.cells), *this, {},
            rules_off(parts_.sabotage)),
      reader_(parts_.layout, parts_.sabotage) {
  // Before the first board is read: what a joiner reads of its own last life is no lie to it.
  if (parts_.incarnation > 1) core_.start_joining(parts_.incarnation);
  if (published_ == nullptr) return;
  announced_.phase = Phase::joining;
  published_->board.set(announced_);
}

Membership::~Membership() { stop(); }

void Membership::add_participant(Participant participant) {
  participants_.push_back(std::move(participant));
}

void Membership::start() {
  if (parts_.incarnation == 1) {
    core_.start_first();
    publish_live_set(core_.view().live(), core_.epoch_of(core_.view()));
  }
  publish_board();
  watcher_ = std::jthread([this](std::stop_token stop) { watch(stop); });
}

void Membership::stop() {
  if (!watcher_.joinable()) return;
  watcher_.request_stop();
  post([](std::uint64_t) {});
  watcher_.join();
}

std::vector<Membership::Loss> Membership::losses() const {
  const std::scoped_lock lock(losses_mutex_);
  return losses_;
}

// --- what other threads say

void Membership::post(Input input) {
  {
    const std::scoped_lock lock(inputs_mutex_);
    inputs_.push_back(std::move(input));
  }
  inputs_word_.fetch_add(1, std::memory_order_release);
  futex_wake(&inputs_word_, 1);
}

void Membership::take_inputs() {
  std::vector<Input> taken;
  {
    const std::scoped_lock lock(inputs_mutex_);
    taken.swap(inputs_);
  }
  for (const Input& input : taken) {
    input(now_ns());
    obey_orders();
  }
}

void Membership::on_attached(CellId cell, std::uint64_t incarnation) {
  const auto attach = [this, cell, incarnation](std::uint64_t now) {
    reader_.forget(cell);
    core_.on_attached(cell, incarnation, now);
    look_at(cell, now, true);
  };
  // Before the start nobody else is here.
  watcher_.joinable() ? post(attach) : attach(now_ns());
}

void Membership::on_unreachable(CellId cell, std::uint64_t incarnation) {
  post([this, cell, incarnation](std::uint64_t now) {
    core_.on_unreachable(cell, incarnation, now);
  });
}

void Membership::hint(CellId cell, Hint hint) {
  if (cell < 0 || cell >= max_cells || !live().has(cell)) return;
  auto& garbage = garbage_[static_cast<std::size_t>(cell)];
  if (hint == Hint::garbage && !garbage.is_burst(now_ns())) return;
  post([this, cell, hint](std::uint64_t now) {
    // What changed while it was read may have looked so.
    if (hint == Hint::corrupt && is_sound(cell)) return;
    core_.on_hint(cell, hint, now);
  });
}

void Membership::set_reboots(bool on) {
  post([this, on](std::uint64_t now) { core_.set_reboots(on, now); });
}

void Membership::accuse_falsely(CellId cell, int times) {
  post([this, cell, times](std::uint64_t now) {
    false_alarms_[cell] = times;
    raise_false_alarms(now);
  });
}

// The next one once the last has been decided.
void Membership::raise_false_alarms(std::uint64_t now) {
  for (auto at = false_alarms_.begin(); at != false_alarms_.end();) {
    const std::uint32_t before = core_.alerts();
    core_.accuse(at->first, Hint::clock, now);
    if (core_.alerts() != before) --at->second;
    at = at->second <= 0 || !is_live(core_.view()[at->first]) ? false_alarms_.erase(at)
                                                              : std::next(at);
  }
}

bool Membership::on_tick(std::uint64_t own_tick_ns) {
  const ClockWatch::Seen seen = clocks_.on_tick(live(), own_tick_ns);
  // Once for each time that a clock comes to stand; again while it does, now and then.
  const std::uint64_t before = late_before_.exchange(seen.late.bits(), std::memory_order_relaxed);
  for (CellSet late(seen.late.bits()); !late.empty(); late.remove(late.lowest())) {
    const CellId cell = late.lowest();
    const bool again = clocks_.stood_ns(cell) % (10 * busy_tick_ns) < own_tick_ns;
    if (!CellSet(before).has(cell) || again) hint(cell, Hint::clock);
  }
  return seen.is_busy;
}

// --- the detector

bool Membership::is_off(CellId cell, std::uint64_t incarnation) {
  // It was started anew only after it was off.
  if (core_.attached_to(cell) > incarnation) return true;
  return parts_.hardware.is_off(cell);
}

void Membership::watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    take_inputs();
    const std::uint64_t now = now_ns();
    const bool is_tick = now >= next_tick_ns_;
    look_at_all(now, is_tick);
    run_probes(now);
    if (is_tick) on_own_tick(now);
    sleep(now_ns());
  }
}

bool Membership::is_calm() const {
  return core_.phase() == Phase::settled && !core_.has_open_ballot() && switched_off_.empty() &&
         false_alarms_.empty();
}

void Membership::on_own_tick(std::uint64_t now) {
  next_tick_ns_ = now + (is_calm() ? calm_look_ns : busy_look_ns);
  core_.on_tick(now);
  raise_false_alarms(now);
  inspect_next(now);
  obey_orders();
  if (is_calm()) losing_.clear();  // suspicions that came to nothing
}

// The first sign of a failure, for the record.
void Membership::note_sign(CellId cell, const char* cause, std::uint64_t now) {
  Loss& loss = losing_[cell];
  if (loss.noticed_ns == 0) loss.noticed_ns = now;
  if (loss.cause.empty()) loss.cause = cause;
}

void Membership::look_at_all(std::uint64_t now, bool is_tick) {
  for (CellId cell = 0; cell < static_cast<CellId>(parts_.layout.cells); ++cell) {
    if (cell != parts_.self && core_.is_attached(cell)) look_at(cell, now, is_tick);
  }
  obey_orders();
}

void Membership::look_at(CellId cell, std::uint64_t now, bool is_tick) {
  const bool is_live_here = is_live(core_.view()[cell]);
  // With each tick also the boards that have not changed: one that made no sense was not kept, and
  // has to be seen again.
  if (is_tick) reader_.forget(cell);
  switch (reader_.read(cell, board_)) {
    case BoardReader::Outcome::read:
      core_.read(cell, board_, now);
      break;
    case BoardReader::Outcome::bus_error:
      if (!is_live_here) return;
      note_sign(cell, "its memory failed", now);
      core_.on_hint(cell, Hint::bus_error, now);
      break;
    case BoardReader::Outcome::corrupt:
      if (!is_live_here) return;
      note_sign(cell, "its kernel data is corrupt", now);
      core_.on_hint(cell, Hint::corrupt, now);
      break;
    case BoardReader::Outcome::same:
    case BoardReader::Outcome::busy:
      break;
  }
  if (!is_live(core_.view()[cell])) return;
  const machine::NodeHeader* header = machine::node_header(parts_.layout, cell);
  const auto lifeline = machine::read_lifeline(header, parts_.self);
  if (lifeline == machine::LifelineState::marked && !switched_off_.contains(cell)) {
    note_sign(cell, "its kernel died", now);
    core_.on_hint(cell, Hint::lifeline, now);
    obey_orders();
  }
  // Two system calls; it is off only after one of these signs, or of its own accord.
  const bool may_be_off = is_tick || lifeline != machine::LifelineState::alive ||
                          switched_off_.contains(cell);
  if (may_be_off && is_off(cell, incarnation_of(core_.view()[cell]))) {
    note_sign(cell, "its power went off", now);
    switched_off_.erase(cell);
    core_.look(cell, now);
  }
}

void Membership::publish_board() {
  if (core_.board() == announced_) return;
  const BoardChange change = change_of(announced_, core_.board(), parts_.self);
  if (change.votes) machine::fault_point(machine::FaultPoint::vote);
  announced_ = core_.board();
  alerts_.store(core_.alerts(), std::memory_order_relaxed);
  voted_down_.store(core_.voted_down(), std::memory_order_relaxed);
  published_->board.set(announced_);
  own_->member_word.fetch_add(1, std::memory_order_release);
  futex_wake(&own_->member_word, std::numeric_limits<int>::max());
  pass_points(change);
}

void Membership::obey_orders() {
  // Orders bring inputs, and those orders; each round is one step further in a bounded protocol.
  for (;;) {
    publish_board();
    const std::vector<MemberOrder> orders = core_.take_orders();
    if (orders.empty()) return;
    for (const MemberOrder& order : orders) obey(order);
  }
}

void Membership::obey(const MemberOrder& order) {
  switch (order.what) {
    case MemberOrder::What::probe:
      note_sign(order.cell, "", now_ns());
      reader_.forget(order.cell);  // its board too is looked at before we give an opinion
      probes_.erase(order.cell);
      probes_.emplace(
          order.cell, OpenProbe{order.number, Probe(parts_.layout, order.cell,
                                                    parts_.kernel_pid(order.cell),
                                                    clocks_.stood_ns(order.cell),
                                                    parts_.sabotage.probe)});
      return;
    case MemberOrder::What::fence:
      return try_fence(order);
    case MemberOrder::What::power_off: {
      const Hint hint = core_.board().opinion(order.cell).hint;
      note_sign(order.cell, cause_of(hint), now_ns());
      if (parts_.sabotage.fence && order.ballot != 0) return;  // by a vote
      if (switched_off_.emplace(order.cell, now_ns()).second && hint != Hint::none) {
        if (order.ballot != 0) losing_[order.cell].votes = core_.votes_on(order.cell);
        parts_.log(fmt::format("cell {} is switched off: {}", order.cell, cause_of(hint)));
      }
      machine::fault_point(machine::FaultPoint::power_off);
      return parts_.hardware.power_off(order.cell);
    }
    case MemberOrder::What::attach:
      return parts_.attach(order.cell, order.number);
    case MemberOrder::What::close:
      return close(order);
    case MemberOrder::What::discard:
      return discard(order);
    case MemberOrder::What::settle:
      return settle(order);
    case MemberOrder::What::reboot:
      return parts_.reboot(order.cell, order.number);
  }
}

void Membership::try_fence(const MemberOrder& order) {
  const auto lock = try_lock_file(parts_.fence_path);
  // Who is off or dead by now has no say, and this cell has none either if it was switched off.
  if (lock) {
    for (CellId cell = 0; cell < static_cast<CellId>(parts_.layout.cells); ++cell) {
      if (cell != parts_.self && is_live(core_.view()[cell])) look_at(cell, now_ns(), true);
    }
  }
  if (lock) machine::fault_point(machine::FaultPoint::decide);
  core_.on_fence(order.cell, order.ballot, lock.has_value() && !parts_.is_self_off(), now_ns());
  publish_board();  // before the lock goes
}

std::uint64_t Membership::wake_at(std::uint64_t now) const {
  std::uint64_t at = next_tick_ns_;
  if (!is_calm()) at = std::min(at, now + busy_look_ns);
  if (!probes_.empty()) at = std::min(at, now + probe_look_ns);
  if (!switched_off_.empty()) at = std::min(at, now + off_look_ns);
  return at;
}

void Membership::sleep(std::uint64_t now) {
  // A lifeline and a member word of each of 63 others, and our own inputs: 127 of the 128 that
  // Linux waits for at once.
  std::array<FutexWord, 2 * max_cells> words;
  std::size_t count = 0;
  words[count++] = {&inputs_word_, inputs_word_.load(std::memory_order_acquire)};
  {
    const std::scoped_lock lock(inputs_mutex_);
    if (!inputs_.empty()) return;
  }
  for (CellId cell = 0; cell < static_cast<CellId>(parts_.layout.cells); ++cell) {
    if (cell == parts_.self || !core_.is_attached(cell)) continue;
    const machine::NodeHeader* header = machine::node_header(parts_.layout, cell);
    std::uint32_t word = 0;
    if (!safe_load32(&header->member_word, word)) continue;
    words[count++] = {&header->member_word, reader_.word(cell)};
    if (!is_live(core_.view()[cell]) || switched_off_.contains(cell)) continue;
    const auto* lifeline = &header->lifelines[parts_.self].word;
    if (machine::read_lifeline(header, parts_.self) == machine::LifelineState::marked) return;
    if (safe_load32(lifeline, word)) words[count++] = {lifeline, word};
  }
  futex_wait_any({words.data(), count}, wake_at(now));
}

}  // namespace hive::cell
