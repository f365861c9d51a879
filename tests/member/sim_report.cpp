#include <cstdio>

#include "sim_node.h"

namespace hive::test {

using cell::Board;
using cell::MemberCore;
using cell::Phase;

namespace {

constexpr std::uint64_t end_max = 20'000 * sim_ms;
constexpr std::uint64_t hopeless_after = 2'000 * sim_ms;
constexpr std::uint64_t look_interval = 20 * sim_ms;
constexpr int quiet_looks = 3;

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 29);
}

}  // namespace

void World::say(const std::string& text) {
  if (!options_.trace) return;
  std::printf("%9.3f ms  %s\n", static_cast<double>(machine_.now_ns()) / 1e6, text.c_str());
}

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
        const cell::Life life = board.view[third];
        word = word * 4 + (life == view[third] ? 0 : life < view[third] ? 1 : 2);
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

bool World::is_quiet() {
  CellSet live;
  for (CellId cell = 0; cell < cells_; ++cell) {
    if (machine_.is_dead(cell) || machine_.is_stopped(cell)) return false;
    live.add(cell);
  }
  for (CellId cell = 0; cell < cells_; ++cell) {
    const MemberCore& core = *node(cell).core;
    if (core.phase() != Phase::settled || core.has_open_ballot() ||
        core.settled().live() != live || core.settled() != node(0).core->settled()) {
      return false;
    }
  }
  return true;
}

ScheduleResult World::run() {
  boot_all();
  plan_faults();
  int quiet = 0;  // looks in sequence: something may still be under way
  bool anybody = true;
  while (judge_.is_clean() && anybody && quiet < quiet_looks && machine_.now_ns() < end_max) {
    machine_.run_until(machine_.now_ns() + look_interval);
    quiet = faults_to_come_ == 0 && is_quiet() ? quiet + 1 : 0;
    anybody = false;
    for (CellId cell = 0; cell < cells_; ++cell) anybody |= !machine_.is_dead(cell);
    // With most of the cells corrupt nothing gets better any more.
    if (machine_.now_ns() >= hopeless_after && nothing_is_promised()) break;
  }
  // When nobody is left the machine has ended; nothing more is asked of it.
  if (quiet == quiet_looks) judge_rest();
  if (machine_.now_ns() >= end_max) judge_end();
  if (coverage_ != nullptr) {
    ++coverage_->schedules;
    for (const auto& n : nodes_) coverage_->voted_down += n->core->voted_down();
    if (failures_in_recovery_ >= 2) ++coverage_->double_failures;
  }
  return {.violation = judge_.violation(), .digest = digest()};
}

std::uint64_t World::digest() {
  std::uint64_t sum = machine_.digest();
  for (CellId cell = 0; cell < cells_; ++cell) {
    const MemberCore& core = *node(cell).core;
    sum = mix(sum, static_cast<std::uint64_t>(core.phase()));
    for (const cell::Life life : core.view().lives) sum = mix(sum, life);
  }
  return sum;
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

// What holds of a machine that has come to rest.
void World::judge_rest() {
  if (lone_accuser_ >= 0 && node(lone_accuser_).incarnation == 1) {
    judge_.violated("cell " + std::to_string(lone_accuser_) +
                    " accused another again and again, and is still there");
  }
}

// At least half of those who would have to see to it are corrupt.
bool World::nothing_is_promised() {
  int corrupt = 0;
  int members = 0;
  for (CellId cell = 0; cell < cells_; ++cell) {
    if (machine_.is_dead(cell) || !node(cell).core->is_member()) continue;
    ++members;
    if (node(cell).lies_about >= 0) ++corrupt;
  }
  return corrupt > 0 && 2 * corrupt >= members;
}

// It has had long enough.
void World::judge_end() {
  for (CellId cell = 0; cell < cells_; ++cell) say(describe(cell));
  if (nothing_is_promised()) return;
  CellSet live;
  bool anybody = false;
  for (CellId cell = 0; cell < cells_; ++cell) {
    if (machine_.is_dead(cell)) continue;
    live.add(cell);
    anybody |= !machine_.is_stopped(cell) && node(cell).core->is_member();
  }
  if (!anybody) return;  // all hang
  for (CellId cell = 0; cell < cells_; ++cell) {
    if (machine_.is_dead(cell)) {
      judge_.violated("cell " + std::to_string(cell) + " has not come back");
    } else if (machine_.is_stopped(cell)) {
      judge_.violated("cell " + std::to_string(cell) + " hangs and is still there");
    } else {
      const MemberCore& core = *node(cell).core;
      judge_.on_end(cell, core.phase() == Phase::settled, core.settled(), live);
    }
  }
  judge_.violated("the machine does not come to rest");
}

ScheduleResult run_schedule(const ScheduleOptions& options, Coverage* coverage) {
  World world(options, coverage);
  return world.run();
}

}  // namespace hive::test
