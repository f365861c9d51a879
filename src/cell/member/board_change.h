// What a board says that the one before did not, for the points where a kernel may be told to die.
#pragma once

#include "base/ids.h"
#include "cell/member/board.h"
#include "machine/fault_point.h"

namespace hive::cell {

struct BoardChange {
  bool votes = false;
  bool alerts = false;  // accuses a cell, or shows a death
  bool admits = false;  // shows a new life of another cell
  bool joined = false;  // is a member's
  Phase phase = Phase::count_;  // that it has come to
};

inline BoardChange change_of(const Board& before, const Board& now, CellId self) {
  BoardChange change;
  for (CellId cell = 0; cell < max_cells; ++cell) {
    const Opinion& then = before.opinion(cell);
    const Opinion& opinion = now.opinion(cell);
    const bool is_new = opinion.ballot != then.ballot || opinion.verdict != then.verdict;
    change.votes |= is_new && opinion.verdict != Verdict::none;
    change.alerts |= opinion.ballot != then.ballot && opinion.accuser == 1;
    const bool grew = now.view[cell] > before.view[cell] && before.view[cell] != 0;
    change.alerts |= grew && !is_live(now.view[cell]);
    change.admits |= grew && is_live(now.view[cell]) && now.view.live().lowest() == self;
  }
  change.joined = before.phase == Phase::joining && now.phase != Phase::joining;
  if (now.phase != before.phase && !change.joined) change.phase = now.phase;
  return change;
}

inline void pass_points(const BoardChange& change) {
  using machine::FaultPoint;
  if (change.votes) machine::fault_point(FaultPoint::vote_shown);
  if (change.alerts) machine::fault_point(FaultPoint::alert);
  if (change.admits) machine::fault_point(FaultPoint::join_admit);
  if (change.joined) machine::fault_point(FaultPoint::join_taken);
  switch (change.phase) {
    case Phase::closed: return machine::fault_point(FaultPoint::recovery_closed);
    case Phase::discarded: return machine::fault_point(FaultPoint::recovery_discarded);
    default: return;
  }
}

}  // namespace hive::cell
