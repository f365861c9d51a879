#include "cell/member/ballots.h"

#include <algorithm>
#include <utility>

namespace hive::cell {

void Ballots::probe(CellId cell) {
  if (of(cell).is_probing) return;
  of(cell).is_probing = true;
  orders_.push_back({BallotOrder::What::probe, cell, own(cell).ballot});
}

std::uint32_t Ballots::largest_ballot(CellId cell) const {
  std::uint32_t largest = own_[static_cast<std::size_t>(cell)].ballot;
  for (const Opinion& vote : accused_[static_cast<std::size_t>(cell)].votes) {
    largest = std::max(largest, vote.ballot);
  }
  return largest;
}

void Ballots::open(CellId cell, std::uint32_t ballot, bool accuser, Hint hint, std::uint64_t now) {
  own(cell) = {.ballot = ballot, .verdict = Verdict::none, .hint = hint,
               .accuser = static_cast<std::uint8_t>(accuser ? 1 : 0)};
  Accused& a = of(cell);
  a.is_open = true;
  a.fence_asked = a.fence_held = false;
  a.opened_ns = now;
  a.next_fence_ns = a.next_power_ns = 0;
}

void Ballots::suspect(CellId cell, Hint hint, std::uint64_t now) {
  if (cell == self_) return;
  Accused& a = of(cell);
  if (a.is_open || a.is_probing || now < a.quiet_until_ns) return;
  a.hint = hint;
  if (hint == Hint::false_alarms) return accuse(cell, hint, now);
  probe(cell);
}

void Ballots::accuse(CellId cell, Hint hint, std::uint64_t now) {
  if (cell == self_ || of(cell).is_open) return;
  open(cell, largest_ballot(cell) + 1, true, hint, now);
  own(cell).verdict = Verdict::guilty;
}

void Ballots::on_probe(CellId cell, bool guilty, std::uint64_t now) {
  Accused& a = of(cell);
  if (!a.is_probing) return;
  a.is_probing = false;
  if (now < a.distrusted_until_ns) guilty = true;
  if (!a.is_open) {
    if (guilty) accuse(cell, a.hint, now);
    return;
  }
  // An opinion on a ballot is given once.
  if (own(cell).verdict == Verdict::none) {
    own(cell).verdict = guilty ? Verdict::guilty : Verdict::innocent;
  }
}

void Ballots::on_fence(CellId cell, std::uint32_t ballot, bool held) {
  Accused& a = of(cell);
  a.fence_asked = false;
  if (!held) return;
  if (cell == self_) {
    for (const Opinion& vote : a.votes) {
      if (vote.ballot == ballot && vote.verdict == Verdict::decided_guilty) return;
    }
    own(cell) = {.ballot = ballot, .verdict = Verdict::decided_innocent};
    return;
  }
  if (own(cell).ballot != ballot || !a.is_open) return;
  for (const Opinion& vote : a.votes) {
    // Somebody had the lock before, and his word stands.
    if (vote.ballot == ballot && vote.verdict >= Verdict::decided_innocent) return;
  }
  if (own(cell).verdict == Verdict::guilty) own(cell).verdict = Verdict::decided_guilty;
  if (own(cell).verdict == Verdict::innocent) own(cell).verdict = Verdict::decided_innocent;
}

bool Ballots::read(CellId from, const Board& board, const View& view, std::uint64_t now) {
  for (CellSet left = view.live(); !left.empty(); left.remove(left.lowest())) {
    const CellId cell = left.lowest();
    const Opinion& shown = board.opinion(cell);
    if (shown.verdict >= Verdict::count_ || shown.hint >= Hint::count_ || shown.accuser > 1) {
      return false;
    }
    // About a life that has ended, or that we do not know of yet.
    if (life_of_ballot(shown.ballot) != view[cell]) continue;
    if (shown.ballot > largest_ballot(cell) + ballot_jump_max) return false;
    Opinion& before = of(cell).votes[static_cast<std::size_t>(from)];
    // Who reads that it hangs knows better.
    const bool is_new = shown.ballot > before.ballot;
    if (cell == self_ && is_new && shown.accuser == 1) count_alarm(from, shown, now);
    before = shown;
    if (cell == self_ || cell == from || shown.ballot <= own(cell).ballot) continue;
    if (sabotage_.drop_votes) continue;
    open(cell, shown.ballot, false, shown.hint, now);
    probe(cell);
  }
  return true;
}

Ballots::Count Ballots::count(CellId cell, CellSet voters) const {
  Count result;
  const auto& accused = accused_[static_cast<std::size_t>(cell)];
  const std::uint32_t ballot = own_[static_cast<std::size_t>(cell)].ballot;
  for (CellSet left = voters; !left.empty(); left.remove(left.lowest())) {
    const CellId voter = left.lowest();
    const Opinion& vote = voter == self_ ? own_[static_cast<std::size_t>(cell)]
                                         : accused.votes[static_cast<std::size_t>(voter)];
    const Verdict verdict = vote.ballot == ballot ? vote.verdict : Verdict::none;
    switch (verdict) {
      case Verdict::decided_guilty: result.decided_guilty = true; [[fallthrough]];
      case Verdict::guilty: ++result.guilty; break;
      case Verdict::decided_innocent: result.decided_innocent = true; [[fallthrough]];
      case Verdict::innocent: ++result.innocent; break;
      default: ++result.silent; break;
    }
  }
  return result;
}

void Ballots::evaluate(CellSet live, std::uint64_t now) {
  for (CellSet left = live; !left.empty(); left.remove(left.lowest())) {
    if (left.lowest() != self_) evaluate_one(left.lowest(), live, now);
  }
  if (live.count() != 2 || !live.has(self_)) return;
  live.remove(self_);
  contest(live.lowest());
}

void Ballots::evaluate_one(CellId cell, CellSet live, std::uint64_t now) {
  Accused& a = of(cell);
  if (!a.is_open) return;
  CellSet voters = live;
  voters.remove(cell);
  const int n = voters.count();
  const Count votes = count(cell, voters);
  const Opinion& own_defence = a.votes[static_cast<std::size_t>(cell)];
  const bool is_defended = n == 1 && own_defence.ballot == own(cell).ballot &&
                           own_defence.verdict == Verdict::decided_innocent;
  if (votes.decided_innocent || is_defended) return close_down(cell, voters, now);
  // Alone with the accused nobody is a majority: each could say the same of the other.
  const bool is_enough = sabotage_.minority_decides ? votes.guilty > 0 : 2 * votes.guilty > n;
  if (votes.decided_guilty || (n > 1 && is_enough)) {
    if (now < a.next_power_ns) return;
    a.next_power_ns = now + times_.power_retry_ns;
    orders_.push_back({BallotOrder::What::power_off, cell, own(cell).ballot});
    return;
  }
  if (2 * votes.innocent > n) return close_down(cell, voters, now);
  const bool is_old = now >= a.opened_ns + times_.ballot_max_ns;
  if (votes.silent > 0 && !is_old) return;
  if (votes.innocent > 0 && votes.innocent >= votes.guilty) return close_down(cell, voters, now);
  if (n == 1 && now < a.opened_ns + times_.contest_ns) return;
  if (own(cell).verdict == Verdict::none || a.fence_asked || now < a.next_fence_ns) return;
  a.fence_asked = true;
  a.next_fence_ns = now + times_.fence_retry_ns;
  orders_.push_back({BallotOrder::What::fence, cell, own(cell).ballot});
}

// Two cells are left, and the other says that we do not get on: whoever reads this does.
void Ballots::contest(CellId accuser) {
  Accused& a = of(self_);
  const Opinion& vote = a.votes[static_cast<std::size_t>(accuser)];
  if (vote.verdict != Verdict::guilty || vote.ballot <= own(self_).ballot || a.fence_asked) return;
  a.fence_asked = true;
  orders_.push_back({BallotOrder::What::fence, self_, vote.ballot});
}

void Ballots::close_down(CellId cell, CellSet voters, std::uint64_t now) {
  Accused& a = of(cell);
  a.is_open = false;
  ++voted_down_;
  const std::uint32_t ballot = own(cell).ballot;
  if (own(cell).accuser == 1) a.quiet_until_ns = now + times_.alarm_memory_ns;
  for (CellSet left = voters; !left.empty(); left.remove(left.lowest())) {
    const CellId voter = left.lowest();
    if (voter == self_) continue;
    const Opinion& vote = a.votes[static_cast<std::size_t>(voter)];
    if (vote.ballot == ballot && vote.accuser == 1) count_alarm(voter, vote, now);
  }
}

void Ballots::count_alarm(CellId accuser, const Opinion& vote, std::uint64_t now) {
  // Who calls another to account may be alone with what it saw.
  if (vote.hint == Hint::false_alarms) return;
  Accused& a = of(accuser);
  const bool is_second = a.last_alarm_ns != 0 && now < a.last_alarm_ns + times_.alarm_memory_ns;
  a.last_alarm_ns = std::max<std::uint64_t>(now, 1);
  if (!is_second || sabotage_.trust_false_alarms) return;
  a.distrusted_until_ns = now + times_.alarm_memory_ns;
  if (!a.is_open) accuse(accuser, Hint::false_alarms, now);
}

void Ballots::begin_life(CellId cell, Life life) {
  of(cell) = {};
  own(cell) = {.ballot = first_ballot(life)};
  for (Accused& a : accused_) a.votes[static_cast<std::size_t>(cell)] = {};
}

void Ballots::skip_past(const Board& board) {
  for (CellId cell = 0; cell < max_cells; ++cell) {
    if (cell == self_ ||
        life_of_ballot(board.opinion(cell).ballot) != life_of_ballot(own(cell).ballot))
      continue;
    Opinion& mine = own(cell);
    mine.ballot = std::max(mine.ballot, board.opinion(cell).ballot);
  }
}

bool Ballots::has_open() const {
  return std::any_of(accused_.begin(), accused_.end(), [](const Accused& a) {
    return a.is_open || a.is_probing;
  });
}

}  // namespace hive::cell
