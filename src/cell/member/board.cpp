#include "cell/member/board.h"

namespace hive::cell {

const char* phase_name(Phase phase) {
  switch (phase) {
    case Phase::joining: return "joining";
    case Phase::closing: return "closing";
    case Phase::closed: return "closed";
    case Phase::discarding: return "discarding";
    case Phase::discarded: return "discarded";
    case Phase::settled: return "settled";
    case Phase::count_: break;
  }
  return "?";
}

const char* cause_of(Hint hint) {
  switch (hint) {
    case Hint::lifeline: return "its kernel died";
    case Hint::clock: return "it hung: its clock stood still";
    case Hint::rpc: return "it hung: it did not answer";
    case Hint::bus_error: return "its memory failed";
    case Hint::corrupt: return "its kernel data is corrupt";
    case Hint::garbage: return "it sent garbage";
    case Hint::barrier: return "it hung in a recovery";
    case Hint::false_alarms: return "it accused others falsely";
    default: return "its power went off";
  }
}

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::none: return "none";
    case Verdict::innocent: return "innocent";
    case Verdict::guilty: return "guilty";
    case Verdict::decided_innocent: return "innocent, by the fence lock";
    case Verdict::decided_guilty: return "guilty, by the fence lock";
    case Verdict::count_: break;
  }
  return "?";
}

}  // namespace hive::cell
