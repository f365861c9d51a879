#include <utility>

#include "sim_node.h"

namespace hive::test {

using cell::Hint;
using cell::Phase;
using machine::SimMachine;

namespace {

constexpr std::uint64_t faults_begin = 20 * sim_ms;
constexpr std::uint64_t faults_end = 150 * sim_ms;
constexpr std::uint64_t lone_accusations = 2;  // the second makes the accuser the accused

}  // namespace

void World::plan(std::uint64_t when_ns, std::function<void()> fault) {
  ++faults_to_come_;
  machine_.at(when_ns, SimMachine::no_node, [this, fault = std::move(fault)] {
    --faults_to_come_;
    fault();
  });
}

void World::plan_faults() {
  if (cells_ > 2 && dice_.one_in(16)) {
    lone_accuser_ = draw_cell();
    const CellId accused = (lone_accuser_ + 1) % cells_;
    return plan(between(20'000, 60'000), [this, accused] {
      accuse_again(lone_accuser_, accused, lone_accusations);
    });
  }
  const std::uint64_t count = dice_.between(1, 4);
  for (std::uint64_t i = 0; i < count; ++i) {
    // Half of them close together, so that they fall into one another's recovery.
    const std::uint64_t when =
        dice_.one_in(2) ? dice_.between(faults_begin, faults_end) : between(50'000, 56'000);
    const auto kind = static_cast<FaultKind>(
        dice_.below(static_cast<std::uint64_t>(FaultKind::count_)));
    const CellId victim = draw_cell();
    plan(when, [this, kind, victim] {
      if (!machine_.is_dead(victim)) apply(kind, victim);
    });
  }
}

void World::apply(FaultKind kind, CellId victim) {
  Node& n = node(victim);
  const std::string who = "cell " + std::to_string(victim);
  switch (kind) {
    case FaultKind::kill: return kill(victim, "killed", true);
    case FaultKind::kill_in_phase:
      say(who + " is to die in a phase");
      n.is_suspect = true;
      n.dies_in = static_cast<Phase>(dice_.below(static_cast<std::uint64_t>(Phase::settled)));
      if (dice_.one_in(2)) {  // and something that brings it there
        const CellId other = draw_cell();
        if (other != victim) kill(other, "killed", true);
      }
      return;
    case FaultKind::crash: return apply_crash(victim);
    case FaultKind::order: return apply_order(victim);
    case FaultKind::hang:
      say(who + " hangs");
      n.is_suspect = n.is_hung = true;
      return machine_.stop(victim);
    case FaultKind::pause: return apply_pause(victim);
    case FaultKind::starve:
      say(who + " gets no processor");
      n.starved_until = machine_.now_ns() + between(20'000, 150'000);
      return;
    case FaultKind::accuse: return apply_accuse(victim);
    case FaultKind::lie: return apply_lie(victim);
    case FaultKind::count_: return;
  }
}

// The kernel dies, its power stays on: the others see that its lifeline is marked.
void World::apply_crash(CellId victim) {
  say("cell " + std::to_string(victim) + " crashes");
  node(victim).is_suspect = node(victim).is_hung = true;
  machine_.stop(victim);
  for (CellId other = 0; other < cells_; ++other) {
    if (other == victim) continue;
    const std::uint64_t born = node(victim).incarnation;
    machine_.after(between(50, 500), other, [this, other, victim, born] {
      if (node(victim).incarnation != born || !node(other).core->is_attached(victim)) return;
      node(other).core->on_hint(victim, Hint::lifeline, machine_.now_ns());
      after_input(other);
    });
  }
}

void World::apply_order(CellId victim) {
  const CellId by = draw_cell();
  if (by == victim) return;
  say("cell " + std::to_string(by) + " is to switch off " + std::to_string(victim));
  node(victim).is_suspect = true;
  machine_.after(0, by, [this, by, victim, born = node(victim).incarnation] {
    if (node(victim).incarnation != born) return;
    node(by).core->on_hint(victim, Hint::order, machine_.now_ns());
    after_input(by);
  });
}

void World::apply_pause(CellId victim) {
  say("cell " + std::to_string(victim) + " is stopped for a while");
  node(victim).is_suspect = true;
  machine_.stop(victim);
  plan(machine_.now_ns() + between(1'000, 300'000),
       [this, victim, born = node(victim).incarnation] {
         const Node& n = node(victim);
         if (n.incarnation != born || n.is_hung || machine_.is_dead(victim)) return;
         machine_.resume(victim);
       });
}

void World::apply_accuse(CellId victim) {
  const CellId other = draw_cell();
  if (other == victim) return;
  accuse_again(victim, other, static_cast<int>(dice_.between(1, 3)));
}

void World::accuse_again(CellId accuser, CellId accused, int times) {
  Node& n = node(accuser);
  if (machine_.is_dead(accuser) || !n.core->is_member()) return;
  if (!machine_.is_stopped(accuser)) {
    say("cell " + std::to_string(accuser) + " accuses " + std::to_string(accused));
    const auto before = n.core->board().opinion(accused).ballot;
    n.is_accuser = n.is_suspect = true;
    n.core->accuse(accused, Hint::clock, machine_.now_ns());
    // A ballot that is open already is not one more.
    if (n.core->board().opinion(accused).ballot != before) --times;
    after_input(accuser);
  }
  if (times == 0 || machine_.now_ns() > 4 * faults_end) return;
  plan(machine_.now_ns() + between(80'000, 200'000),
       [this, accuser, accused, times, born = n.incarnation] {
         if (node(accuser).incarnation == born) accuse_again(accuser, accused, times);
       });
}

void World::apply_lie(CellId victim) {
  const CellId other = draw_cell();
  if (other == victim) return;
  say("cell " + std::to_string(victim) + " claims that " + std::to_string(other) + " is dead");
  node(victim).is_suspect = true;
  node(victim).lies_about = other;
  judge_.on_corrupt(victim);
  publish(victim);
}

void World::kill(CellId cell, const char* why, bool deserved) {
  if (machine_.is_dead(cell)) return;
  say("cell " + std::to_string(cell) + " is " + why);
  bool in_recovery = false;
  for (CellId other = 0; other < cells_; ++other) {
    if (other != cell && !machine_.is_dead(other) &&
        node(other).core->phase() != Phase::settled && node(other).core->is_member()) {
      in_recovery = true;
    }
  }
  if (in_recovery) ++failures_in_recovery_;
  machine_.kill(cell);
  judge_.on_dead(cell, why, deserved || node(cell).is_suspect);
  for (CellId other = 0; other < cells_; ++other) {
    if (other == cell) continue;
    machine_.after(between(50, 500), other, [this, other, cell] {
      node(other).core->look(cell, machine_.now_ns());
      after_input(other);
    });
  }
}

void World::switch_off(CellId by, CellId victim) {
  // Now and then it takes long, as it does for a large kernel.
  const std::uint64_t delay = dice_.one_in(8) ? between(2'000, 20'000) : between(10, 300);
  machine_.after(delay, SimMachine::no_node,
                 [this, victim, born = node(victim).incarnation,
                  deserved = may_be_outvoted(by, victim)] {
                   if (node(victim).incarnation == born) kill(victim, "switched off", deserved);
                 });
}

// Votes protect a sound cell as long as no majority of those who vote on it is false, and more
// than half of them show boards on which recovery can get on. The only other cell has no majority,
// but may not get its processor in time to contest. A joiner that does not know that it was taken
// in (by a corrupt master, which others do not believe) has no vote and nothing to lose.
bool World::may_be_outvoted(CellId by, CellId victim) {
  if (!node(victim).core->is_member()) return true;
  CellSet voters = node(by).core->view().live();
  voters.remove(victim);
  int accusers = 0;
  int corrupt = 0;
  for (CellSet left = voters; !left.empty(); left.remove(left.lowest())) {
    const Node& voter = node(left.lowest());
    if (voter.lies_about >= 0) {
      ++corrupt;
    } else if (voter.is_accuser) {
      ++accusers;
    }
  }
  const int n = voters.count();
  if (corrupt > 0) return 2 * (accusers + corrupt) >= n;
  if (n == 1) return accusers == 1 && node(victim).starved_until != 0;
  return 2 * accusers > n;
}

}  // namespace hive::test
