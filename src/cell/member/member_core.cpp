#include "cell/member/member_core.h"

#include <algorithm>

namespace hive::cell {
namespace {

// Incarnations that a node may have lived through while we did not look.
constexpr Life life_jump_max = 2 * 64;

}  // namespace

MemberCore::MemberCore(CellId self, int cells, NodeFacts& facts, MemberTimes times,
                       MemberSabotage sabotage)
    : self_(self),
      cells_(cells),
      facts_(facts),
      times_(times),
      sabotage_(sabotage),
      ballots_(self, cells, times.ballots, sabotage.ballots) {
  for (Board& board : seen_) board.phase = Phase::joining;
}

void MemberCore::start_first() {
  board_.view = settled_ = discarded_ = round_view_ = View::first(cells_);
  board_.phase = Phase::settled;
  for (CellId cell = 0; cell < cells_; ++cell) {
    attached_[index(cell)] = 1;
    ballots_.begin_life(cell, live_life(1));
  }
  board_.opinions = ballots_.opinions();
}

void MemberCore::start_joining(std::uint64_t incarnation) {
  own_incarnation_ = incarnation;
  attached_[index(self_)] = incarnation;
  board_.phase = Phase::joining;
}

// --- what others show

bool MemberCore::is_plausible(CellId from, const Board& board) const {
  if (board.phase >= Phase::count_) return false;
  for (CellId cell = 0; cell < max_cells; ++cell) {
    if (cell >= cells_ ? board.view[cell] != 0
                       : is_member() && board.view[cell] > view()[cell] + life_jump_max) {
      return false;
    }
  }
  // A member shows itself alive, in the incarnation that we are attached to.
  const Life life = live_life(attached_[index(from)]);
  return board.phase == Phase::joining ? board.view[from] < life : board.view[from] == life;
}

bool MemberCore::read(CellId from, const Board& board, std::uint64_t now) {
  if (from == self_ || from < 0 || from >= cells_ || attached_[index(from)] == 0) return true;
  Board& seen = seen_[index(from)];
  if (seen == board) {
    unsound_.remove(from);  // only sound ones are kept
    return true;
  }
  bool is_sound = is_plausible(from, board);
  // It was taken in by somebody who may have died before we heard of it.
  if (is_sound && is_member() && board.phase != Phase::joining &&
      board.view[from] > view()[from] && !is_live(view()[from])) {
    raise(from, board.view[from]);
  }
  const bool is_peer = is_live(view()[from]) || !is_member();
  if (is_sound && is_peer && board.phase != Phase::joining) {
    if (is_member()) is_sound = ballots_.read(from, board, view(), now);
    is_sound = merge(board.view, now) && is_sound;
  }
  if (is_sound) {
    seen = board;
    changed_ns_[index(from)] = now;
    unsound_.remove(from);
  } else if (is_member()) {
    // Not kept: the next look tells whether it is still so.
    unsound_.add(from);
    if (is_live(view()[from])) ballots_.suspect(from, Hint::corrupt, now);
  }
  advance(now);
  return is_sound;
}

// False: it claims what is not so.
bool MemberCore::merge(const View& theirs, std::uint64_t now) {
  bool is_true = true;
  for (CellId cell = 0; cell < cells_; ++cell) {
    if (theirs[cell] > view()[cell]) is_true = merge_one(cell, theirs[cell], now) && is_true;
  }
  return is_true;
}

bool MemberCore::merge_one(CellId cell, Life theirs, std::uint64_t now) {
  if (cell == self_) {
    if (is_member()) return false;  // we are not dead
    if (theirs == live_life(own_incarnation_)) {
      become_member(now);
    } else if (theirs < live_life(own_incarnation_) && !is_live(theirs)) {
      raise(cell, theirs);
    }
    return true;
  }
  if (const Life mine = view()[cell]; is_live(mine)) {
    const std::uint64_t incarnation = incarnation_of(mine);
    if (!sabotage_.believe_deaths && !facts_.is_off(cell, incarnation)) return false;
    raise(cell, dead_life(incarnation));
    if (theirs == view()[cell]) return true;
  }
  const std::uint64_t incarnation = incarnation_of(theirs);
  if (attached_[index(cell)] == incarnation) {
    if (!is_live(theirs) && !sabotage_.believe_deaths && !facts_.is_off(cell, incarnation)) {
      return false;
    }
    raise(cell, theirs);
  } else if (!is_live(theirs) && (sabotage_.believe_deaths ||
                                  unreachable_[index(cell)] >= incarnation)) {
    raise(cell, theirs);  // it died before we had to do with it
  } else if (now >= next_attach_ns_[index(cell)]) {
    next_attach_ns_[index(cell)] = now + times_.attach_retry_ns;
    orders_.push_back({.what = MemberOrder::What::attach, .cell = cell, .number = incarnation});
  }
  return true;
}

void MemberCore::merge_all(std::uint64_t now) {
  for (CellId from = 0; from < cells_; ++from) {
    const bool is_peer = is_live(view()[from]) || !is_member();
    if (is_peer && from != self_ && seen_[index(from)].phase != Phase::joining) {
      (void)merge(seen_[index(from)].view, now);
    }
  }
}

// A ballot on a life of which we did not know then, and all of them when we have just been taken
// in: a cell that does not vote leaves the others without a majority.
void MemberCore::read_ballots_anew(std::uint64_t now) {
  reads_anew_ = false;
  for (CellId from = 0; from < cells_; ++from) {
    if (from == self_ || !is_live(view()[from]) || seen_[index(from)].phase == Phase::joining) {
      continue;
    }
    if (!ballots_.read(from, seen_[index(from)], view(), now)) {
      unsound_.add(from);
      ballots_.suspect(from, Hint::corrupt, now);
    }
  }
}

void MemberCore::raise(CellId cell, Life life) {
  board_.view[cell] = life;
  ballots_.begin_life(cell, life);
  reads_anew_ = true;
  unsound_.remove(cell);
  // What it showed while it waited to be taken in is no member's word.
  if (is_live(life)) seen_[index(cell)].phase = Phase::joining;
}

void MemberCore::become_member(std::uint64_t now) {
  discarded_ = settled_ = round_view_ = view();  // we have nothing of anybody who died before
  raise(self_, live_life(own_incarnation_));
  board_.phase = Phase::settled;
  advance(now);
}

// --- what happens

void MemberCore::look(CellId cell, std::uint64_t now) {
  if (cell == self_ || cell < 0 || cell >= cells_ || !is_live(view()[cell])) return;
  const std::uint64_t incarnation = incarnation_of(view()[cell]);
  if (!facts_.is_off(cell, incarnation)) return;
  raise(cell, dead_life(incarnation));
  advance(now);
}

bool MemberCore::may_accuse(CellId cell) const {
  return is_member() && cell != self_ && cell >= 0 && cell < cells_ && is_live(view()[cell]);
}

void MemberCore::on_hint(CellId cell, Hint hint, std::uint64_t now) {
  if (!may_accuse(cell)) return;
  if (hint == Hint::lifeline || hint == Hint::order) {
    orders_.push_back({.what = MemberOrder::What::power_off, .cell = cell});
    return;
  }
  // What can not even be read: that its clock goes on does not speak for it.
  if (hint == Hint::corrupt) unsound_.add(cell);
  ballots_.suspect(cell, hint, now);
  advance(now);
}

void MemberCore::accuse(CellId cell, Hint hint, std::uint64_t now) {
  if (!may_accuse(cell)) return;
  ballots_.accuse(cell, hint, now);
  advance(now);
}

void MemberCore::on_probe(CellId cell, std::uint64_t incarnation, Found found,
                          std::uint64_t now) {
  if (view()[cell] != live_life(incarnation)) return;
  const std::uint64_t times = found == Found::starved ? times_.barrier_starved_factor : 1;
  const bool is_late = late_at_barrier(now, times).has(cell);
  ballots_.on_probe(cell, found == Found::guilty || is_late || unsound_.has(cell), now);
  advance(now);
}

void MemberCore::on_fence(CellId cell, std::uint32_t ballot, bool held, std::uint64_t now) {
  ballots_.on_fence(cell, ballot, held, view().live());
  advance(now);
}

void MemberCore::on_attached(CellId cell, std::uint64_t incarnation, std::uint64_t now) {
  if (incarnation <= attached_[index(cell)] && !sabotage_.reuse_incarnation) return;
  attached_[index(cell)] = incarnation;
  seen_[index(cell)] = {};
  seen_[index(cell)].phase = Phase::joining;
  merge_all(now);
  advance(now);
}

void MemberCore::on_unreachable(CellId cell, std::uint64_t incarnation, std::uint64_t now) {
  unreachable_[index(cell)] = std::max(unreachable_[index(cell)], incarnation);
  next_attach_ns_[index(cell)] = now + times_.attach_retry_ns;
  merge_all(now);
  advance(now);
}

void MemberCore::on_closed(std::uint32_t round, std::uint64_t now) {
  if (round != round_ || board_.phase != Phase::closing) return;
  board_.phase = Phase::closed;
  waits_since_ns_ = now;
  advance(now);
}

void MemberCore::on_discarded(std::uint32_t round, std::uint64_t now) {
  if (round != round_ || board_.phase != Phase::discarding) return;
  board_.phase = Phase::discarded;
  discarded_ = round_view_;
  waits_since_ns_ = now;
  advance(now);
}

void MemberCore::on_tick(std::uint64_t now) {
  merge_all(now);
  watch_barrier(now);
  advance(now);
  ask_for_reboots(now);
}

// --- how it goes on

void MemberCore::advance(std::uint64_t now) {
  if (is_member()) {
    if (reads_anew_) read_ballots_anew(now);
    ballots_.evaluate(view().live(), now);
    pass_on_ballots();
    try_take_in();
    const bool holds_back = sabotage_.no_restart && board_.phase != Phase::settled;
    if (view() != round_view_ && !holds_back) begin_round(now);
    if (board_.phase == Phase::closed &&
        (short_of(Phase::closed).empty() || sabotage_.skip_first_barrier)) {
      board_.phase = Phase::discarding;
      orders_.push_back({.what = MemberOrder::What::discard, .round = round_,
                         .cells = gone_since(discarded_), .view = round_view_});
    }
    if (board_.phase == Phase::discarded &&
        (short_of(Phase::discarded).empty() || sabotage_.skip_second_barrier)) {
      settle(now);
    }
  }
  board_.opinions = ballots_.opinions();
}

// Nodes that were alive, or have lived, since that view, and whose remains are to be given up.
CellSet MemberCore::gone_since(const View& before) const {
  CellSet gone;
  for (CellId cell = 0; cell < cells_; ++cell) {
    const Life then = before[cell];
    const Life now = round_view_[cell];
    if (cell != self_ && now != then && (is_live(then) || !is_live(now))) gone.add(cell);
  }
  return gone;
}

void MemberCore::begin_round(std::uint64_t now) {
  if (board_.phase != Phase::settled) ++restarts_;
  round_view_ = view();
  ++round_;
  board_.phase = Phase::closing;
  waits_since_ns_ = now;
  orders_.push_back({.what = MemberOrder::What::close, .round = round_,
                     .cells = gone_since(discarded_), .view = round_view_});
}

// Others that live in the view of this round and do not show it with this phase or a later one.
CellSet MemberCore::short_of(Phase phase) const {
  CellSet cells;
  for (CellId cell = 0; cell < cells_; ++cell) {
    if (cell == self_ || !is_live(round_view_[cell])) continue;
    const Board& seen = seen_[index(cell)];
    if (seen.phase < phase || seen.view != round_view_) cells.add(cell);
  }
  return cells;
}

CellSet MemberCore::waited_for() const {
  const bool waits = board_.phase == Phase::closed || board_.phase == Phase::discarded;
  return waits ? short_of(board_.phase) : CellSet();
}

CellSet MemberCore::late_at_barrier(std::uint64_t now, std::uint64_t times) const {
  const auto cells = static_cast<std::uint64_t>(round_view_.live().count());
  const std::uint64_t late_ns = times * std::max(times_.barrier_late_ns,
                                                 cells * times_.barrier_late_each_ns);
  CellSet late;
  for (CellSet left = waited_for(); !left.empty(); left.remove(left.lowest())) {
    const CellId cell = left.lowest();
    const std::uint64_t since = std::max(waits_since_ns_, changed_ns_[index(cell)]);
    if (now > since + late_ns) late.add(cell);
  }
  return late;
}

void MemberCore::settle(std::uint64_t now) {
  settled_ = round_view_;
  board_.phase = Phase::settled;
  ++rounds_settled_;
  orders_.push_back({.what = MemberOrder::What::settle, .cells = settled_.live(), .view = settled_,
                     .epoch = sabotage_.forget_epoch ? rounds_settled_ + 1 : epoch_of(settled_)});
  next_reboot_ns_.fill(0);
  ask_for_reboots(now);
}

void MemberCore::set_reboots(bool on, std::uint64_t now) {
  reboots_ = on;
  next_reboot_ns_.fill(0);
  ask_for_reboots(now);
}

// As the recovery master: one node at a time comes back, when all others have settled.
void MemberCore::try_take_in() {
  if (board_.phase != Phase::settled || view() != settled_) return;
  if (view().live().lowest() != self_ || !short_of(Phase::settled).empty()) return;
  for (CellId cell = 0; cell < cells_; ++cell) {
    const std::uint64_t incarnation = attached_[index(cell)];
    if (is_live(view()[cell]) || incarnation == 0) continue;
    const bool is_new = live_life(incarnation) > view()[cell] || sabotage_.reuse_incarnation;
    const Board& seen = seen_[index(cell)];
    if (!is_new || seen.phase != Phase::joining || seen.view != view()) continue;
    if (facts_.is_off(cell, incarnation)) continue;
    return raise(cell, live_life(incarnation));
  }
}

void MemberCore::ask_for_reboots(std::uint64_t now) {
  if (!reboots_ || board_.phase != Phase::settled || view().live().lowest() != self_) return;
  for (CellId cell = 0; cell < cells_; ++cell) {
    std::uint64_t& next = next_reboot_ns_[index(cell)];
    if (is_live(view()[cell]) || now < next) continue;
    next = now + times_.reboot_retry_ns;
    orders_.push_back({.what = MemberOrder::What::reboot, .cell = cell,
                       .number = incarnation_of(view()[cell])});
  }
}

void MemberCore::watch_barrier(std::uint64_t now) {
  for (CellSet late = late_at_barrier(now); !late.empty(); late.remove(late.lowest())) {
    ballots_.suspect(late.lowest(), Hint::barrier, now);
  }
}

void MemberCore::pass_on_ballots() {
  for (const BallotOrder& order : ballots_.take_orders()) {
    MemberOrder out{.what = MemberOrder::What::probe, .cell = order.cell, .ballot = order.ballot};
    if (order.what == BallotOrder::What::fence) out.what = MemberOrder::What::fence;
    if (order.what == BallotOrder::What::power_off) out.what = MemberOrder::What::power_off;
    if (out.what == MemberOrder::What::probe) out.number = incarnation_of(view()[order.cell]);
    out.epoch = epoch_of(view());
    orders_.push_back(out);
    if (out.what == MemberOrder::What::power_off && sabotage_.settle_before_off) {
      raise(order.cell, dead_life(incarnation_of(view()[order.cell])));
    }
  }
}

}  // namespace hive::cell
