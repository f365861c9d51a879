#include "replay_machine.h"

#include <algorithm>

namespace hive::test {
namespace {

using cell::Board;
using cell::Life;
using cell::MemberCore;
using cell::MemberOrder;
using cell::Opinion;
using cell::Phase;
using cell::View;
using What = MemberOrder::What;

// Then a contest is over; and a ballot is old, after so long for each that is silent.
constexpr std::uint64_t patience_ns = 1'000'000;

cell::MemberTimes replay_times() {
  cell::MemberTimes times;
  times.ballots.ballot_max_ns = patience_ns;
  times.ballots.contest_ns = patience_ns;
  times.ballots.fence_retry_ns = 0;
  // The model has no memory of false alarms.
  times.ballots.alarm_memory_ns = 0;
  times.ballots.power_retry_ns = 0;
  return times;
}

View unpack(std::uint64_t packed, int cells) {
  View view;
  for (CellId cell = 0; cell < cells; ++cell) {
    view[cell] = static_cast<Life>((packed >> (4 * cell)) & 15);
  }
  return view;
}

std::string text_of(const View& view, Phase phase, int cells) {
  std::string text = std::string(cell::phase_name(phase)) + ", lives";
  for (CellId cell = 0; cell < cells; ++cell) text += " " + std::to_string(view[cell]);
  return text;
}

bool is_vote(What what) {
  return what == What::probe || what == What::fence || what == What::power_off;
}

}  // namespace

void ReplayMachine::start(int cells, bool votes) {
  cells_ = cells;
  votes_ = votes;
  nodes_.clear();
  for (CellId cell = 0; cell < cells; ++cell) {
    nodes_.push_back(std::make_unique<Node>(*this, cell));
    nodes_.back()->core.emplace(cell, cells, *nodes_.back(), replay_times());
    nodes_.back()->core->start_first();
  }
}

std::string ReplayMachine::take(const std::string& step, std::istream& words) {
  int first = -1;
  if (step == "end") return rest();
  if (!(words >> first)) return "no number";
  if (step == "start" || step == "ballots") {
    start(first, step == "ballots");
    return {};
  }
  if (first < 0 || first >= cells_) return "no such cell";
  if (take_world_step(step, first)) return {};
  Node& n = node(first);
  const Before before{n.core->view(), n.core->phase()};
  n.fresh.clear();
  std::string difference =
      votes_ ? take_vote_step(step, n, words) : take_cell_step(step, n, words);
  if (!difference.empty()) return difference;
  take_orders(n);
  std::string colon;
  if (!(words >> colon) || colon != ":") return "no result";
  if (votes_) return compare_opinions(n, words);
  difference = compare_view(n, before, words);
  return difference.empty() ? compare_orders(n, before) : difference;
}

bool ReplayMachine::take_world_step(const std::string& step, CellId cell) {
  Node& n = node(cell);
  if (step == "off") {
    n.power = Power::off;
  } else if (step == "hang") {
    n.power = Power::hangs;
  } else if (step == "reboot") {
    n.power = Power::runs;
    ++n.incarnation;
    n.core.emplace(cell, cells_, n, replay_times());
    n.core->start_joining(n.incarnation);
  } else {
    return false;
  }
  return true;
}

std::string ReplayMachine::take_cell_step(const std::string& step, Node& n, std::istream& words) {
  MemberCore& core = *n.core;
  if (step == "closed") {
    core.on_closed(core.round(), n.now);
  } else if (step == "discarded") {
    core.on_discarded(core.round(), n.now);
  } else if (step == "tick") {
    core.on_tick(n.now);
  } else {
    CellId other = -1;
    if (!(words >> other) || other < 0 || other >= cells_) return "no other cell";
    std::uint64_t number = 0;
    if (step == "read") {
      if (!core.read(other, node(other).core->board(), n.now)) return "the board is refused";
    } else if (step == "look") {
      core.look(other, n.now);
    } else if (step == "attach") {
      core.on_attached(other, node(other).incarnation, n.now);
    } else if (step == "miss" && words >> number) {
      core.on_unreachable(other, number, n.now);
    } else {
      return "no such step";
    }
  }
  return {};
}

std::string ReplayMachine::take_vote_step(const std::string& step, Node& n, std::istream& words) {
  MemberCore& core = *n.core;
  if (step == "wait") {
    n.now += static_cast<std::uint64_t>(cells_) * patience_ns;
    core.on_tick(n.now);
    return {};
  }
  CellId other = -1;
  if (!(words >> other) || other < 0 || other >= cells_) return "no other cell";
  if (step == "read") {
    if (!core.read(other, node(other).core->board(), n.now)) return "the board is refused";
  } else if (step == "look") {
    core.look(other, n.now);
  } else if (step == "suspect") {
    core.on_hint(other, cell::Hint::clock, n.now);
    take_orders(n);
    if (const auto order = obey(n, What::probe, other)) {
      core.on_probe(other, order->number, cell::Found::guilty, n.now);
    } else {
      core.accuse(other, cell::Hint::clock, n.now);  // held back for a while: not in the model
    }
  } else if (step == "probed") {
    int guilty = 0;
    words >> guilty;
    const auto order = obey(n, What::probe, other);
    if (!order) return "no probe was ordered";
    core.on_probe(other, order->number, guilty != 0 ? cell::Found::guilty : cell::Found::sound,
                  n.now);
  } else if (step == "decide") {
    // Whoever holds the fence lock reads all boards before; the trace has that as steps.
    const auto order = obey(n, What::fence, other);
    if (!order) return "the fence lock was not asked for";
    core.on_fence(other, order->ballot, true, n.now);
  } else if (step == "switch") {
    if (!obey(n, What::power_off, other)) return "switching off was not ordered";
  } else {
    return "no such step";
  }
  return {};
}

void ReplayMachine::take_orders(Node& n) {
  for (const MemberOrder& order : n.core->take_orders()) {
    n.fresh.push_back(order);
    if (!is_vote(order.what)) continue;
    const bool is_known = std::any_of(n.open.begin(), n.open.end(), [&](const MemberOrder& known) {
      return known.what == order.what && known.cell == order.cell && known.ballot == order.ballot;
    });
    if (!is_known) n.open.push_back(order);
  }
}

// The last such order that is still open, which is then no more.
std::optional<MemberOrder> ReplayMachine::obey(Node& n, What what, CellId cell) {
  std::optional<MemberOrder> found;
  for (const MemberOrder& order : n.open) {
    if (order.what == what && order.cell == cell) found = order;
  }
  std::erase_if(n.open, [&](const MemberOrder& order) {
    return order.what == what && order.cell == cell;
  });
  return found;
}

std::string ReplayMachine::compare_view(Node& n, const Before& before, std::istream& words) {
  std::uint64_t packed = 0;
  int number = 0;
  if (!(words >> packed >> number)) return "no view";
  const View view = unpack(packed, cells_);
  const auto phase = static_cast<Phase>(number);
  if (n.core->view() == view && n.core->phase() == phase) return {};
  return "the model has " + text_of(view, phase, cells_) + "; the code " +
         text_of(n.core->view(), n.core->phase(), cells_) + "; before that " +
         text_of(before.view, before.phase, cells_);
}

// Work is ordered when the phase says that it is under way, and not otherwise.
std::string ReplayMachine::compare_orders(const Node& n, const Before& before) const {
  const View& view = n.core->view();
  const Phase phase = n.core->phase();
  const bool is_new = view != before.view || phase != before.phase;
  for (const What what : {What::close, What::discard, What::settle}) {
    const bool is_due = is_new && phase == (what == What::close     ? Phase::closing
                                            : what == What::discard ? Phase::discarding
                                                                    : Phase::settled);
    const MemberOrder* order = nullptr;
    for (const MemberOrder& each : n.fresh) {
      if (each.what == what) order = &each;
    }
    if (is_due != (order != nullptr)) return is_due ? "work was not ordered" : "work was ordered";
    if (order == nullptr) continue;
    if (order->view != view) return "work was ordered for another view";
    if (what == What::settle && order->epoch != view.epoch(cells_)) return "another epoch";
  }
  const bool votes = std::any_of(n.fresh.begin(), n.fresh.end(), [](const MemberOrder& order) {
    return is_vote(order.what);
  });
  return votes ? "a vote without a hint" : "";
}

std::string ReplayMachine::compare_opinions(Node& n, std::istream& words) {
  for (CellId cell = 0; cell < cells_; ++cell) {
    int ballot = 0;
    int verdict = 0;
    if (!(words >> ballot >> verdict)) return "no opinion on cell " + std::to_string(cell);
    const Opinion& opinion = n.core->board().opinion(cell);
    const int number = static_cast<int>(opinion.ballot % cell::first_ballot(1));
    const int said = static_cast<int>(opinion.verdict) + 8 * opinion.closed;
    if (number == ballot && said == verdict) continue;
    return "about cell " + std::to_string(cell) + " the model says " + std::to_string(verdict) +
           " on ballot " + std::to_string(ballot) + ", the code " + std::to_string(said) + " on " +
           std::to_string(number);
  }
  return {};
}

// The model has come to rest. So must the code have: nothing that a cell can learn moves it.
std::string ReplayMachine::rest() {
  for (const auto& n : nodes_) {
    if (n->power != Power::runs) continue;
    const Board before = n->core->board();
    // What was ordered before matters got settled otherwise comes to nothing.
    for (const MemberOrder& order : n->open) {
      if (order.what == What::fence) n->core->on_fence(order.cell, order.ballot, true, n->now);
    }
    for (CellId other = 0; other < cells_; ++other) {
      if (other == n->self) continue;
      const bool is_there = node(other).incarnation == n->core->attached_to(other);
      if (is_there) (void)n->core->read(other, node(other).core->board(), n->now);
      n->core->look(other, n->now);
    }
    n->core->on_tick(n->now);
    const Board& after = n->core->board();
    if (!votes_ && (after.view != before.view || after.phase != before.phase)) {
      return "cell " + std::to_string(n->self) + " goes on to " +
             text_of(after.view, after.phase, cells_);
    }
    if (votes_ && after.opinions != before.opinions) {
      return "cell " + std::to_string(n->self) + " changes its opinion";
    }
  }
  return {};
}

}  // namespace hive::test
