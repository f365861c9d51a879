#include "cell/member/ballots.h"

#include <algorithm>
#include <utility>

namespace hive::cell {

Ballots::Ballots(CellId self, int cells, BallotTimes times, BallotSabotage sabotage)
    : self_(self),
      times_(times),
      sabotage_(sabotage),
      accused_(static_cast<std::size_t>(cells)) {
  for (Accused& a : accused_) {
    a.votes.resize(accused_.size());
    a.alarms_ns.resize(accused_.size());
  }
}

void Ballots::probe(CellId cell) {
  if (of(cell).is_probing) return;
  of(cell).is_probing = true;
  orders_.push_back({BallotOrder::What::probe, cell, own(cell).ballot});
}

std::uint32_t Ballots::largest_ballot(CellId cell) const {
  std::uint32_t largest = own(cell).ballot;
  for (const Opinion& vote : of(cell).votes) largest = std::max(largest, vote.ballot);
  return largest;
}

void Ballots::open(CellId cell, std::uint32_t ballot, bool accuser, Hint hint, std::uint64_t now) {
  own(cell) = {.ballot = ballot, .verdict = Verdict::none, .hint = hint,
               .accuser = static_cast<std::uint8_t>(accuser ? 1 : 0)};
  Accused& a = of(cell);
  a.is_open = true;
  a.fence_asked = false;
  a.opened_ns = now;
  a.disputed_ns = a.next_fence_ns = a.next_power_ns = 0;
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
  ++alerts_;
  open(cell, largest_ballot(cell) + 1, true, hint, now);
  own(cell).verdict = Verdict::guilty;
}

void Ballots::on_probe(CellId cell, bool guilty, std::uint64_t now) {
  Accused& a = of(cell);
  if (!a.is_probing) return;
  a.is_probing = false;
  const bool is_distrusted = now < a.distrusted_until_ns;
  if (!a.is_open) {
    // Others may not know of its false alarms: to call it to account is no alarm of ours.
    if (guilty || is_distrusted) accuse(cell, guilty ? a.hint : Hint::false_alarms, now);
    return;
  }
  guilty |= is_distrusted;
  // An opinion on a ballot is given once.
  if (own(cell).verdict == Verdict::none) {
    own(cell).verdict = guilty ? Verdict::guilty : Verdict::innocent;
  }
}

// As far as is known here: somebody has decided so, or a majority of the others says guilty.
bool Ballots::is_condemned(CellSet live) const {
  CellSet voters = live;
  voters.remove(self_);
  const Count votes = count(self_, largest_ballot(self_), voters);
  const int n = voters.count();
  return votes.decided_guilty || (n > 1 && !votes.decided_innocent && 2 * votes.guilty > n);
}

void Ballots::on_fence(CellId cell, std::uint32_t ballot, bool held, CellSet live) {
  Accused& a = of(cell);
  a.fence_asked = false;
  if (!held || is_condemned(live)) return;
  if (cell == self_) {
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
    if (shown.verdict >= Verdict::count_ || shown.hint >= Hint::count_ || shown.accuser > 1 ||
        shown.closed > 1) {
      return false;
    }
    // About a life that has ended, or that we do not know of yet.
    if (life_of_ballot(shown.ballot) != view[cell]) continue;
    if (shown.ballot > largest_ballot(cell) + ballot_jump_max) return false;
    if (cell == self_ && shown.ballot > largest_ballot(cell)) of(cell).opened_ns = now;
    of(cell).votes[static_cast<std::size_t>(from)] = shown;
    if (cell == self_ && shown.closed == 1) count_alarms_about_us(shown.ballot, now);
    if (cell == self_ || cell == from || shown.ballot <= own(cell).ballot) continue;
    if (shown.closed == 1 || sabotage_.drop_votes) continue;
    open(cell, shown.ballot, false, shown.hint, now);
    probe(cell);
  }
  return true;
}

Ballots::Count Ballots::count(CellId cell, std::uint32_t ballot, CellSet voters) const {
  Count result;
  for (CellSet left = voters; !left.empty(); left.remove(left.lowest())) {
    const CellId voter = left.lowest();
    const Opinion& vote =
        voter == self_ ? own(cell) : of(cell).votes[static_cast<std::size_t>(voter)];
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

bool Ballots::is_old(const Accused& accused, const Count& votes, std::uint64_t now) const {
  const auto silent = static_cast<std::uint64_t>(std::max(votes.silent, 1));
  return now >= accused.opened_ns + silent * times_.ballot_max_ns;
}

void Ballots::evaluate(CellSet live, std::uint64_t now) {
  for (CellSet left = live; !left.empty(); left.remove(left.lowest())) {
    if (left.lowest() != self_) evaluate_one(left.lowest(), live, now);
  }
  contest(live, now);
}

void Ballots::evaluate_one(CellId cell, CellSet live, std::uint64_t now) {
  Accused& a = of(cell);
  if (!a.is_open) return;
  CellSet voters = live;
  voters.remove(cell);
  const int n = voters.count();
  const Count votes = count(cell, own(cell).ballot, voters);
  if (votes.decided_innocent) return close_down(cell, voters, now);
  // Alone with the accused nobody is a majority: each could say the same of the other.
  const bool is_enough = sabotage_.minority_decides ? votes.guilty > 0 : 2 * votes.guilty > n;
  if (votes.decided_guilty || (n > 1 && is_enough)) {
    if (now < a.next_power_ns) return;
    a.next_power_ns = now + times_.power_retry_ns;
    orders_.push_back({BallotOrder::What::power_off, cell, own(cell).ballot});
    return;
  }
  if (2 * votes.innocent > n) return close_down(cell, voters, now);
  const bool too_old = is_old(a, votes, now);
  const Opinion& defence = a.votes[static_cast<std::size_t>(cell)];
  const bool is_defended =
      defence.ballot == own(cell).ballot && defence.verdict == Verdict::decided_innocent;
  if (is_defended && (n == 1 || too_old)) return close_down(cell, voters, now);
  if (votes.silent > 0 && !too_old) {
    // As long as others may speak the accused can not; when they are gone it has its time anew.
    a.disputed_ns = 0;
    return;
  }
  if (votes.innocent > 0 && votes.innocent >= votes.guilty) return close_down(cell, voters, now);
  // The accused first: it may be the only one who could speak for itself.
  if (a.disputed_ns == 0) a.disputed_ns = std::max<std::uint64_t>(now, 1);
  if (now < a.disputed_ns + times_.contest_ns) return;
  if (own(cell).verdict == Verdict::none || a.fence_asked || now < a.next_fence_ns) return;
  a.fence_asked = true;
  a.next_fence_ns = now + times_.fence_retry_ns;
  orders_.push_back({BallotOrder::What::fence, cell, own(cell).ballot});
}

// Others say that we do not get on, and those who could vote us innocent do not speak, or there
// are none: whoever reads this does get on.
void Ballots::contest(CellSet live, std::uint64_t now) {
  if (!live.has(self_)) return;
  CellSet voters = live;
  voters.remove(self_);
  Accused& a = of(self_);
  const std::uint32_t ballot = largest_ballot(self_);
  if (ballot == own(self_).ballot || a.fence_asked || now < a.next_fence_ns) return;
  const int n = voters.count();
  const Count votes = count(self_, ballot, voters);
  if (votes.guilty == 0 || votes.decided_guilty || votes.decided_innocent) return;
  // As long as others may speak they decide: we could be the ones who are wrong.
  if (n > 1 && (2 * votes.guilty > n || votes.silent == 0 || !is_old(a, votes, now))) return;
  a.fence_asked = true;
  a.next_fence_ns = now + times_.fence_retry_ns;
  orders_.push_back({BallotOrder::What::fence, self_, ballot});
}

void Ballots::close_down(CellId cell, CellSet voters, std::uint64_t now) {
  Accused& a = of(cell);
  a.is_open = false;
  own(cell).closed = 1;
  ++voted_down_;
  // Until no other cell counts this one any more, which may have closed it later than we.
  if (own(cell).accuser == 1) {
    const auto others = static_cast<std::uint64_t>(voters.count());
    a.quiet_until_ns = now + times_.alarm_memory_ns + 2 * others * times_.ballot_max_ns;
  }
  for (CellSet left = voters; !left.empty(); left.remove(left.lowest())) {
    const CellId voter = left.lowest();
    if (voter == self_) continue;
    const Opinion& vote = a.votes[static_cast<std::size_t>(voter)];
    if (vote.ballot == own(cell).ballot && vote.accuser == 1) count_alarm(voter, cell, vote, now);
  }
}

// A sound cell holds back after a false alarm, so it never raises the same one twice in that time;
// but it may see several others stand still for a moment, and raise one about each.
void Ballots::count_alarm(CellId accuser, CellId accused, const Opinion& vote,
                          std::uint64_t now) {
  // Who calls another to account may be alone with what it saw.
  if (vote.hint == Hint::false_alarms) return;
  std::uint64_t& last = of(accused).alarms_ns[static_cast<std::size_t>(accuser)];
  const bool is_second = last != 0 && now < last + times_.alarm_memory_ns;
  last = std::max<std::uint64_t>(now, 1);
  if (!is_second || sabotage_.trust_false_alarms) return;
  Accused& a = of(accuser);
  a.distrusted_until_ns = now + times_.alarm_memory_ns;
  if (!a.is_open) accuse(accuser, Hint::false_alarms, now);
}

// We have no ballot on ourselves that we could close. Not earlier than the others: a ballot on the
// accuser that they take up before they have counted has their votes as innocent.
void Ballots::count_alarms_about_us(std::uint32_t ballot, std::uint64_t now) {
  Accused& a = of(self_);
  if (ballot <= a.counted_ballot) return;
  a.counted_ballot = ballot;
  for (std::size_t voter = 0; voter < a.votes.size(); ++voter) {
    const Opinion& vote = a.votes[voter];
    if (vote.ballot != ballot || vote.accuser == 0) continue;
    count_alarm(static_cast<CellId>(voter), self_, vote, now);
  }
}

void Ballots::begin_life(CellId cell, Life life) {
  Accused& accused = of(cell);
  std::vector<Opinion> votes = std::move(accused.votes);
  std::vector<std::uint64_t> alarms_ns = std::move(accused.alarms_ns);
  std::ranges::fill(votes, Opinion{});
  std::ranges::fill(alarms_ns, 0);
  accused = {};
  accused.votes = std::move(votes);
  accused.alarms_ns = std::move(alarms_ns);
  own(cell) = {.ballot = first_ballot(life)};
  for (Accused& a : accused_) {
    a.votes[static_cast<std::size_t>(cell)] = {};
    a.alarms_ns[static_cast<std::size_t>(cell)] = 0;
  }
}

std::vector<Vote> Ballots::votes_on(CellId cell, CellSet voters) const {
  std::vector<Vote> votes;
  for (CellSet left = voters; !left.empty(); left.remove(left.lowest())) {
    const CellId by = left.lowest();
    if (by == cell) continue;
    const Opinion& said =
        by == self_ ? own(cell) : of(cell).votes[static_cast<std::size_t>(by)];
    const bool spoke = own(cell).ballot != 0 && said.ballot == own(cell).ballot;
    votes.push_back(spoke ? Vote{by, said.verdict, said.hint, said.accuser == 1} : Vote{by});
  }
  return votes;
}

bool Ballots::has_open() const {
  return std::ranges::any_of(accused_,
                             [](const Accused& a) { return a.is_open || a.is_probing; });
}

}  // namespace hive::cell
