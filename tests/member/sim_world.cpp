#include <algorithm>

#include "sim_node.h"

namespace hive::test {

using cell::Board;
using cell::Hint;
using cell::MemberCore;
using cell::MemberOrder;
using cell::Phase;

namespace {

constexpr std::uint64_t join_max = 600 * sim_ms;
constexpr int late_ticks = 3;

cell::MemberTimes sim_times() {
  cell::MemberTimes times;
  times.ballots.ballot_max_ns = 100 * sim_ms;
  times.ballots.alarm_memory_ns = 1'000 * sim_ms;
  times.barrier_late_ns = 100 * sim_ms;
  times.barrier_late_each_ns = 25 * sim_ms;
  times.reboot_retry_ns = 100 * sim_ms;
  return times;
}

}  // namespace

World::World(const ScheduleOptions& options, Coverage* coverage)
    : options_(options),
      coverage_(coverage),
      dice_(options.seed),
      cells_(options.cells != 0 ? options.cells : static_cast<int>(dice_.between(2, 6))),
      machine_({.cells = cells_, .seed = options.seed, .memory_bytes = sizeof(Published)}),
      judge_(cells_) {
}

World::~World() = default;

std::uint64_t World::between(std::uint64_t low_us, std::uint64_t high_us) {
  return dice_.between(low_us * sim_us, high_us * sim_us);
}

void World::boot_all() {
  for (CellId cell = 0; cell < cells_; ++cell) {
    nodes_.push_back(std::make_unique<Node>(*this, cell));
    judge_.on_born(cell, 1);
    if (coverage_ != nullptr) ++coverage_->lives;
  }
  for (CellId cell = 0; cell < cells_; ++cell) {
    Node& n = node(cell);
    n.core.emplace(cell, cells_, n, sim_times(), options_.sabotage);
    n.core->start_first();
    n.core->set_reboots(true, machine_.now_ns());
    n.own() = {.incarnation = 1, .clock = 0, .board = n.core->board()};
    n.shown = n.core->board();
    machine_.after(between(0, 10'000), cell, [this, cell] { tick(cell); });
  }
}

// --- a cell at work

void World::tick(CellId cell) {
  Node& n = node(cell);
  const std::uint64_t now = machine_.now_ns();
  ++n.own().clock;
  for (CellId other = 0; other < cells_; ++other) {
    if (other == cell || !n.core->is_attached(other)) continue;
    read_board(cell, other);
    n.core->look(other, now);
    const std::uint64_t clock = node(other).own().clock;
    std::uint64_t& clock_before = n.clocks[static_cast<std::size_t>(other)];
    int& late = n.late[static_cast<std::size_t>(other)];
    late = clock == clock_before ? late + 1 : 0;
    clock_before = clock;
    if (late >= late_ticks) n.core->on_hint(other, Hint::clock, now);
  }
  n.core->on_tick(now);
  after_input(cell);
  const bool is_starved = now < n.starved_until;
  const std::uint64_t delay = is_starved ? between(20'000, 80'000) : between(9'500, 10'500);
  if (is_starved) n.waits_until = now + delay;
  machine_.after(delay, cell, [this, cell] { tick(cell); });
}

void World::after_input(CellId cell) {
  Node& n = node(cell);
  if (machine_.is_dead(cell)) return;
  if (!n.was_member && n.core->is_member()) {
    n.was_member = true;
    if (coverage_ != nullptr) ++coverage_->joins;
    cell::View before = n.core->view();
    judge_.on_joined(cell, before);
  }
  if (n.shown != n.core->board()) {
    if (options_.trace) say(describe(cell));
    publish(cell);
  }
  if (machine_.is_dead(cell)) return;
  note_state(cell);
  for (const MemberOrder& order : n.core->take_orders()) {
    obey(cell, order);
    if (machine_.is_dead(cell)) return;
  }
}

void World::publish(CellId cell) {
  Node& n = node(cell);
  const bool dies = n.dies_in && n.core->phase() == *n.dies_in;
  if (dies && dice_.one_in(2)) return kill(cell, "killed in a phase", true);
  n.shown = n.own().board = n.core->board();
  if (n.lies_about >= 0) {
    cell::Life& life = n.own().board.view[n.lies_about];
    if (cell::is_live(life)) ++life;
  }
  for (CellId other = 0; other < cells_; ++other) {
    // Who misses the wake sees it at its next tick.
    if (other == cell || dice_.one_in(20)) continue;
    machine_.after(between(5, 200), other, [this, other, cell] {
      read_board(other, cell);
      after_input(other);
    });
  }
  if (dies) kill(cell, "killed in a phase", true);
}

void World::read_board(CellId reader, CellId from) {
  Node& n = node(reader);
  if (!n.core->is_attached(from)) return;
  // In place: nothing is published while it is being read.
  const Published& seen = node(from).own();
  if (seen.incarnation == n.core->attached_to(from)) {
    (void)n.core->read(from, seen.board, machine_.now_ns());
  }
}

void World::obey(CellId cell, const MemberOrder& order) {
  const auto later = [this, cell](std::uint64_t delay, auto action) {
    machine_.after(delay, cell, [this, cell, action] {
      action();
      after_input(cell);
    });
  };
  switch (order.what) {
    case MemberOrder::What::probe:
      return probe(cell, order);
    case MemberOrder::What::fence:
      return fence(cell, order);
    case MemberOrder::What::power_off:
      return switch_off(cell, order.cell);
    case MemberOrder::What::attach:
      return machine_.after(between(100, 2'000), cell, [this, cell, order] {
        attach(cell, order.cell, order.number);
      });
    case MemberOrder::What::close:
      return later(between(5, 3'000), [this, cell, order] {
        judge_.on_closed(cell, order.view);
        node(cell).core->on_closed(order.round, machine_.now_ns());
      });
    case MemberOrder::What::discard:
      judge_.on_discard(cell, order.view);
      return later(between(5, 3'000), [this, cell, order] {
        judge_.on_discarded(cell, order.view);
        node(cell).core->on_discarded(order.round, machine_.now_ns());
      });
    case MemberOrder::What::settle:
      judge_.on_settled(cell, order.view, order.epoch);
      if (coverage_ != nullptr) ++coverage_->recoveries;
      return;
    case MemberOrder::What::reboot:
      return reboot(order.cell, order.number);
  }
}

void World::probe(CellId cell, const MemberOrder& order) {
  const CellId other = order.cell;
  const std::uint64_t clock = node(other).own().clock;
  machine_.after(between(22'000, 30'000), cell, [this, cell, other, clock, of = order.number] {
    const bool waits = machine_.now_ns() <= node(other).waits_until && !machine_.is_stopped(other);
    const bool stands = node(other).own().clock == clock;
    using cell::Found;
    const Found found = waits ? Found::starved : stands ? Found::guilty : Found::sound;
    node(cell).core->on_probe(other, of, found, machine_.now_ns());
    after_input(cell);
  });
}

// The lock is held only from before the boards are read until the decision is published; nothing
// else happens in between, as one event.
void World::fence(CellId cell, const MemberOrder& order) {
  machine_.after(between(5, 100), cell, [this, cell, order] {
    for (CellId other = 0; other < cells_; ++other) {
      if (other == cell) continue;
      read_board(cell, other);
      node(cell).core->look(other, machine_.now_ns());
    }
    // Else somebody else has it just now; of two cells, the other one waits for this one.
    const bool is_alone = node(cell).core->view().live().count() == 2;
    const bool held = is_alone || !dice_.one_in(10);
    if (held && order.cell == cell && coverage_ != nullptr) ++coverage_->contested;
    node(cell).core->on_fence(order.cell, order.ballot, held, machine_.now_ns());
    after_input(cell);
  });
}

// --- a node that comes back

void World::attach(CellId cell, CellId to, std::uint64_t incarnation) {
  if (machine_.is_dead(to) || node(to).incarnation != incarnation) {
    node(cell).core->on_unreachable(to, incarnation, machine_.now_ns());
    return after_input(cell);
  }
  node(cell).core->on_attached(to, incarnation, machine_.now_ns());
  after_input(cell);
  machine_.after(between(100, 2'000), to, [this, cell, to, own = node(cell).incarnation] {
    if (machine_.is_dead(cell) || node(cell).incarnation != own) return;
    node(to).core->on_attached(cell, own, machine_.now_ns());
    after_input(to);
  });
}

void World::reboot(CellId cell, std::uint64_t above) {
  if (node(cell).is_rebooting) return;
  node(cell).is_rebooting = true;
  const std::uint64_t delay = between(5'000, 30'000);
  machine_.after(delay, machine::SimMachine::no_node, [this, cell, above] {
    Node& n = node(cell);
    n.is_rebooting = false;
    if (!machine_.is_dead(cell)) return;
    const std::uint64_t next = std::max(above, n.incarnation) + 1;
    auto fresh = std::make_unique<Node>(*this, cell);
    fresh->incarnation = options_.sabotage.reuse_incarnation ? n.incarnation : next;
    nodes_[static_cast<std::size_t>(cell)] = std::move(fresh);
    machine_.restart(cell);
    join(cell);
  });
}

void World::join(CellId cell) {
  Node& n = node(cell);
  say("cell " + std::to_string(cell) + " starts as incarnation " + std::to_string(n.incarnation));
  judge_.on_born(cell, n.incarnation);
  if (coverage_ != nullptr) ++coverage_->lives;
  n.was_member = false;
  if (faults_to_come_ > 0 && dice_.one_in(8)) {  // joiners die as well
    n.is_suspect = true;
    n.dies_in = static_cast<Phase>(dice_.below(static_cast<std::uint64_t>(Phase::settled)));
  }
  n.core.emplace(cell, cells_, n, sim_times(), options_.sabotage);
  n.core->start_joining(n.incarnation);
  n.core->set_reboots(true, machine_.now_ns());
  n.own() = {.incarnation = n.incarnation, .clock = 0, .board = n.core->board()};
  n.shown = n.core->board();
  for (CellId other = 0; other < cells_; ++other) {
    if (other == cell || machine_.is_dead(other) || machine_.is_stopped(other)) continue;
    machine_.after(between(1'000, 4'000), cell, [this, cell, other] {
      attach(cell, other, node(other).incarnation);
    });
  }
  machine_.after(between(0, 10'000), cell, [this, cell] { tick(cell); });
  // The monitor's part: a node that is not taken in in time, hung or not, is switched off.
  machine_.after(join_max, machine::SimMachine::no_node, [this, cell, born = n.incarnation] {
    const bool same = node(cell).incarnation == born;
    if (same && !node(cell).core->is_member()) kill(cell, "not taken in", true);
  });
}

}  // namespace hive::test
