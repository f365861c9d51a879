#include "sim_world.h"

#include <cstdio>
#include <cstring>

#include "base/check.h"

namespace hive::test {

using cell::Board;
using cell::Hint;
using cell::MemberCore;
using cell::MemberOrder;
using cell::Phase;

namespace {

constexpr std::uint64_t us = 1'000;
constexpr std::uint64_t ms = 1'000'000;
constexpr std::uint64_t tick = 10 * ms;
constexpr std::uint64_t faults_end = 150 * ms;
constexpr std::uint64_t end_max = 20'000 * ms;
constexpr std::uint64_t join_max = 600 * ms;
constexpr int late_ticks = 3;

// What a node publishes.
struct Published {
  std::uint64_t incarnation;
  std::uint64_t clock;
  Board board;
};

cell::MemberTimes sim_times() {
  cell::MemberTimes times;
  times.ballots.ballot_max_ns = 100 * ms;
  times.ballots.alarm_memory_ns = 1'000 * ms;
  times.barrier_late_ns = 100 * ms;
  times.reboot_retry_ns = 100 * ms;
  return times;
}

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 29);
}

}  // namespace

struct World::Node final : cell::NodeFacts {
  Node(World& the_world, CellId the_id) : world(the_world), id(the_id) {}
  bool is_off(CellId cell, std::uint64_t of_incarnation) override {
    return world.node(cell).incarnation > of_incarnation || world.machine_.is_dead(cell);
  }
  Published& own() { return *reinterpret_cast<Published*>(world.machine_.memory(id).data()); }

  World& world;
  const CellId id;
  std::optional<MemberCore> core;
  std::uint64_t incarnation = 1;
  std::array<std::uint64_t, max_cells> clocks{};  // of the others, as seen last
  std::array<int, max_cells> late{};  // for how many of our ticks they have stood still
  std::uint64_t starved_until = 0;
  std::uint64_t waits_until = 0;  // for a processor: its next tick is late
  std::optional<Phase> dies_in;   // killed when it shows this phase
  CellId lies_about = -1;
  bool was_member = true;
  bool is_hung = false;
  bool is_suspect = false;        // may rightly be switched off
  bool is_rebooting = false;
};

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
  return dice_.between(low_us * us, high_us * us);
}

void World::say(const std::string& text) {
  if (options_.trace)
    std::printf("%9.3f ms  %s\n", static_cast<double>(machine_.now_ns()) / 1e6, text.c_str());
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
    n.core->set_reboots(true);
    n.own() = {.incarnation = 1, .clock = 0, .board = n.core->board()};
    machine_.after(between(0, 10'000), cell, [this, cell] { tick(cell); });
  }
}

// --- faults

void World::plan_faults() {
  const std::uint64_t count = dice_.between(1, 4);
  for (std::uint64_t i = 0; i < count; ++i) {
    // Half of them close together, so that they fall into one another's recovery.
    const std::uint64_t when =
        dice_.one_in(2) ? between(20'000, faults_end / us) : between(50'000, 56'000);
    const auto kind = static_cast<FaultKind>(
        dice_.below(static_cast<std::uint64_t>(FaultKind::count_)));
    const CellId victim = static_cast<CellId>(dice_.below(static_cast<std::uint64_t>(cells_)));
    machine_.at(when, machine::SimMachine::no_node, [this, kind, victim] { apply(kind, victim); });
  }
}

void World::apply(FaultKind kind, CellId victim) {
  if (machine_.is_dead(victim)) return;
  Node& n = node(victim);
  const std::string who = "cell " + std::to_string(victim);
  switch (kind) {
    case FaultKind::kill:
      return kill(victim, "killed", true);
    case FaultKind::kill_in_phase:
      say(who + " is to die in a phase");
      n.is_suspect = true;
      n.dies_in = static_cast<Phase>(dice_.below(static_cast<std::uint64_t>(Phase::settled)));
      if (dice_.one_in(2)) {  // and something that brings it there
        const CellId other = static_cast<CellId>(dice_.below(static_cast<std::uint64_t>(cells_)));
        if (other != victim && !machine_.is_dead(other)) kill(other, "killed", true);
      }
      return;
    case FaultKind::hang:
      say(who + " hangs");
      n.is_suspect = n.is_hung = true;
      return machine_.stop(victim);
    case FaultKind::pause: {
      const std::uint64_t length = between(1'000, 300'000);
      say(who + " is stopped for a while");
      n.is_suspect = true;
      machine_.stop(victim);
      const std::uint64_t incarnation = n.incarnation;
      return machine_.after(length, machine::SimMachine::no_node, [this, victim, incarnation] {
        const bool same = node(victim).incarnation == incarnation && !machine_.is_dead(victim);
        if (same && !node(victim).is_hung) machine_.resume(victim);
      });
    }
    case FaultKind::starve:
      say(who + " gets no processor");
      n.starved_until = machine_.now_ns() + between(20'000, 150'000);
      return;
    case FaultKind::accuse: {
      const CellId other = static_cast<CellId>(dice_.below(static_cast<std::uint64_t>(cells_)));
      say(who + " accuses " + std::to_string(other));
      n.is_suspect = true;
      const std::uint64_t twice = dice_.one_in(2) ? between(150'000, 300'000) : 0;
      const auto accuse = [this, victim, other] {
        node(victim).core->accuse(other, Hint::clock, machine_.now_ns());
        after_input(victim);
      };
      machine_.after(0, victim, accuse);
      if (twice != 0) machine_.after(twice, victim, accuse);
      return;
    }
    case FaultKind::lie: {
      const CellId other = static_cast<CellId>(dice_.below(static_cast<std::uint64_t>(cells_)));
      if (other == victim) return;
      say(who + " claims that " + std::to_string(other) + " is dead");
      n.is_suspect = true;
      n.lies_about = other;
      judge_.on_corrupt(victim);
      return publish(victim);
    }
    case FaultKind::count_:
      return;
  }
}

void World::kill(CellId cell, const char* why, bool deserved) {
  if (machine_.is_dead(cell)) return;
  Node& n = node(cell);
  say("cell " + std::to_string(cell) + " is " + why);
  bool in_recovery = false;
  for (CellId other = 0; other < cells_; ++other) {
    if (other != cell && !machine_.is_dead(other) &&
        node(other).core->phase() != Phase::settled && node(other).core->is_member()) {
      in_recovery = true;
    }
  }
  if (in_recovery) ++failures_in_recovery_;
  // Votes protect a sound cell as long as most of the cells are sound.
  int live = 0;
  int unsound = 0;
  for (CellId other = 0; other < cells_; ++other) {
    if (machine_.is_dead(other) || !node(other).core->is_member()) continue;
    ++live;
    if (node(other).is_suspect) ++unsound;
  }
  machine_.kill(cell);
  judge_.on_dead(cell, why, deserved || n.is_suspect || 2 * unsound >= live);
  for (CellId other = 0; other < cells_; ++other) {
    if (other == cell) continue;
    machine_.after(between(50, 500), other, [this, other, cell] {
      if (!node(other).core) return;
      node(other).core->look(cell, machine_.now_ns());
      after_input(other);
    });
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
    Published seen;
    if (machine_.hardware(cell).read_remote(machine::SimMachine::address(other, 0), &seen,
                                            sizeof seen)) {
      n.late[static_cast<std::size_t>(other)] =
          seen.clock == n.clocks[static_cast<std::size_t>(other)]
              ? n.late[static_cast<std::size_t>(other)] + 1 : 0;
      n.clocks[static_cast<std::size_t>(other)] = seen.clock;
      if (n.late[static_cast<std::size_t>(other)] >= late_ticks)
        n.core->on_hint(other, Hint::clock, now);
    }
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
  if (n.own().board != n.core->board()) {
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
  n.own().board = n.core->board();
  if (n.lies_about >= 0) {
    cell::Life& life = n.own().board.view[n.lies_about];
    if (cell::is_live(life)) ++life;
  }
  for (CellId other = 0; other < cells_; ++other) {
    // Who misses the wake sees it at its next tick.
    if (other == cell || dice_.one_in(20)) continue;
    machine_.after(between(5, 200), other, [this, other, cell] {
      if (!node(other).core) return;
      read_board(other, cell);
      after_input(other);
    });
  }
  if (dies) kill(cell, "killed in a phase", true);
}

void World::read_board(CellId reader, CellId from) {
  Node& n = node(reader);
  if (!n.core->is_attached(from)) return;
  Published seen;
  if (!machine_.hardware(reader).read_remote(machine::SimMachine::address(from, 0), &seen,
                                             sizeof seen)) {
    return;
  }
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
      machine_.after(between(10, 300), machine::SimMachine::no_node,
                     [this, victim = order.cell, life = node(order.cell).incarnation] {
                       if (node(victim).incarnation == life) kill(victim, "switched off", false);
                     });
      return;
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
  machine_.after(between(22'000, 30'000), cell, [this, cell, other, clock] {
    const bool waits = machine_.now_ns() <= node(other).waits_until && !machine_.is_stopped(other);
    const bool stands = node(other).own().clock == clock;
    node(cell).core->on_probe(other, stands && !waits, machine_.now_ns());
    after_input(cell);
  });
}

// The lock is held only from before the boards are read until the decision is published; nothing
// else happens in between, as one event.
void World::fence(CellId cell, const MemberOrder& order) {
  machine_.after(between(5, 100), cell, [this, cell, order] {
    for (CellId other = 0; other < cells_; ++other) {
      if (other != cell) read_board(cell, other);
    }
    const bool held = !dice_.one_in(10);  // else somebody else has it just now
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
  n.core.emplace(cell, cells_, n, sim_times(), options_.sabotage);
  n.core->start_joining(n.incarnation);
  n.core->set_reboots(true);
  n.own() = {.incarnation = n.incarnation, .clock = 0, .board = n.core->board()};
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

// --- watching

void World::note_state(CellId cell) {
  if (coverage_ == nullptr) return;
  // What distinguishes states is who is how far, not numbers that only grow.
  std::uint64_t hash = static_cast<std::uint64_t>(cells_);
  const cell::View& view = node(cell).core->view();
  for (CellId other = 0; other < cells_; ++other) {
    const Node& n = node(other);
    std::uint64_t word = machine_.is_dead(other) ? 1 : machine_.is_stopped(other) ? 2 : 3;
    if (n.core && !machine_.is_dead(other)) {
      const Board& board = n.core->board();
      word = word * 8 + static_cast<std::uint64_t>(board.phase);
      for (CellId third = 0; third < cells_; ++third) {
        word = word * 4 + (board.view[third] == view[third]  ? 0
                           : board.view[third] < view[third] ? 1
                                                             : 2);
        word = mix(word, static_cast<std::uint64_t>(board.opinion(third).verdict) * 2 +
                             board.opinion(third).accuser);
      }
    }
    hash = mix(hash, word);
  }
  coverage_->states.insert(hash);
  if (hash != last_state_) coverage_->transitions.insert(mix(last_state_, hash));
  last_state_ = hash;
}

std::optional<std::string> World::run() {
  boot_all();
  plan_faults();
  machine_.run_until(faults_end + 300 * ms);
  const auto is_quiet = [this] {
    CellSet live;
    for (CellId cell = 0; cell < cells_; ++cell) {
      if (machine_.is_dead(cell) || machine_.is_stopped(cell)) return false;
      live.add(cell);
    }
    for (CellId cell = 0; cell < cells_; ++cell) {
      const MemberCore& core = *node(cell).core;
      if (core.phase() != Phase::settled || core.settled().live() != live ||
          core.has_open_ballot() || core.settled() != node(0).core->settled()) {
        return false;
      }
    }
    return true;
  };
  while (judge_.is_clean() && !is_quiet() && machine_.now_ns() < end_max) {
    bool anybody = false;
    for (CellId cell = 0; cell < cells_; ++cell) anybody |= !machine_.is_dead(cell);
    if (!anybody) break;  // the machine has ended; nothing more is asked of it
    machine_.run_until(machine_.now_ns() + 20 * ms);
  }
  if (machine_.now_ns() >= end_max) judge_end();
  if (coverage_ != nullptr) {
    ++coverage_->schedules;
    if (failures_in_recovery_ >= 2) ++coverage_->double_failures;
  }
  if (judge_.is_clean()) return std::nullopt;
  return judge_.violation();
}

std::string World::describe(CellId cell) {
  std::string text = "cell " + std::to_string(cell);
  if (machine_.is_dead(cell)) return text + " is dead";
  if (machine_.is_stopped(cell)) text += " (stopped)";
  const Board& board = node(cell).core->board();
  text += " " + std::string(cell::phase_name(board.phase)) + ", lives";
  for (CellId other = 0; other < cells_; ++other) {
    text += " " + std::to_string(board.view[other]);
    const cell::Opinion& opinion = board.opinion(other);
    if (opinion.verdict != cell::Verdict::none) {
      text += "(" + std::to_string(opinion.ballot % 4096) + ":" +
              std::to_string(static_cast<int>(opinion.verdict)) + ")";
    }
  }
  return text + ", waits for " + std::to_string(node(cell).core->waited_for().bits());
}

void World::judge_end() {
  for (CellId cell = 0; cell < cells_; ++cell) say(describe(cell));
  CellSet live;
  int corrupt = 0;
  int members = 0;
  for (CellId cell = 0; cell < cells_; ++cell) {
    if (machine_.is_dead(cell)) continue;
    live.add(cell);
    if (!node(cell).core->is_member()) continue;
    ++members;
    if (node(cell).lies_about >= 0) ++corrupt;
  }
  if (2 * corrupt >= members) return;  // with so many corrupt cells nothing is promised
  bool anybody = false;
  for (CellId cell = 0; cell < cells_; ++cell) {
    anybody |= live.has(cell) && !machine_.is_stopped(cell) && node(cell).core->is_member();
  }
  if (!anybody) return;  // all hang
  for (CellId cell = 0; cell < cells_; ++cell) {
    if (machine_.is_stopped(cell) && !machine_.is_dead(cell)) {
      judge_.violated("cell " + std::to_string(cell) + " hangs and is still there");
    }
  }
  for (CellId cell = 0; cell < cells_; ++cell) {
    if (machine_.is_dead(cell)) {
      judge_.violated("cell " + std::to_string(cell) + " has not come back");
    } else {
      const MemberCore& core = *node(cell).core;
      judge_.on_end(cell, core.phase() == Phase::settled, core.settled(), live);
    }
  }
  judge_.violated("the machine does not come to rest");
}

std::optional<std::string> run_schedule(const ScheduleOptions& options, Coverage* coverage) {
  World world(options, coverage);
  return world.run();
}

}  // namespace hive::test
