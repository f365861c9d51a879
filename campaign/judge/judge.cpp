// Who must live, who must have ended, and what was done.

#include "campaign/judge/judge.h"

#include <algorithm>

#include "campaign/judge/case.h"
#include "campaign/plan/events.h"

namespace hive::campaign {
namespace {

constexpr int plain = static_cast<int>(SegmentKind::plain);
constexpr int same_max = 2;  // escapes of one sort from one fault: the first ones say it
constexpr int status_killed = 128 + 9;
constexpr int status_bus_error = 128 + 7;

std::string list_of(const std::set<int>& cells) {
  std::string text;
  for (const int cell : cells) text += (text.empty() ? "" : " ") + std::to_string(cell);
  return text.empty() ? "none" : text;
}

}  // namespace

void Judge::escape(Case& now, const std::string& what, const std::string& evidence) const {
  int same = 0;
  for (const Json& other : now.escapes) same += other["what"] == what ? 1 : 0;
  if (same < same_max) now.escapes.push_back({{"what", what}, {"evidence", evidence}});
}

Json Judge::decide(const Json& told) {
  Case now;
  now.evidence = reader_.read(told);
  for (const KernelFact& kernel : now.evidence.kernels) {
    if (kernel.died_ns == 0) continue;
    now.dead.insert({kernel.cell, kernel.incarnation});
    now.dead_cells.insert(kernel.cell);
  }
  judge_cells(now);
  if (now.evidence.whole) judge_components(now);
  learn(now);
  judge_logs(now);
  judge_files(now);
  judge_the_voted_out(now);
  if (now.evidence.whole) judge_accounts(now);
  take_times(now);
  for (const HomeKey& home : now.dead) {
    pages_.home_died(home);
    shared_.home_died(home);
  }
  return {{"fault", now.evidence.fault.number},
          {"verdict", now.escapes.empty() ? "contained" : "escaped"},
          {"escapes", now.escapes},
          {"times_ms", now.times_ms}};
}

void Judge::judge_cells(Case& now) const {
  const Evidence& evidence = now.evidence;
  const Kind* kind = find_kind(evidence.fault.kind);
  std::set<int> may_die;
  if (kind != nullptr && kind->fate != Fate::lives) {
    may_die.insert(evidence.fault.targets.begin(), evidence.fault.targets.end());
  }
  for (const int cell : now.dead_cells) {
    if (may_die.contains(cell)) continue;
    escape(now, "a cell died that must survive",
           "cell " + std::to_string(cell) + "; may die: " + list_of(may_die));
  }
  if (!evidence.whole) {
    std::string states;
    if (evidence.status_after.is_object()) {
      for (const Json& cell : evidence.status_after.value("cells", Json::array())) {
        states += " " + cell.value("state", "?") + " " + cell.value("reason", "");
      }
    }
    escape(now, "the machine is not whole again",
           states.empty() ? "no cell answers" : "cells:" + states);
    return;
  }
  const bool must_die = kind != nullptr && kind->fate == Fate::dies && evidence.activated;
  for (const int cell : evidence.fault.targets) {
    if (must_die && !now.dead_cells.contains(cell)) {
      escape(now, "a cell that failed was not switched off", "cell " + std::to_string(cell));
    }
  }
  for (const Json& cell : evidence.status_after.value("cells", Json::array())) {
    if (cell.value("epoch", 0) != evidence.status_after.value("epoch", -1) ||
        cell.value("live_set", Json::array()).size() != static_cast<std::size_t>(plan_.cells)) {
      escape(now, "the cells do not agree on the live set", cell.dump());
    }
  }
}

void Judge::judge_components(Case& now) const {
  for (const Witnessed& component : now.evidence.components) {
    const ComponentPlan* plan = plan_.find(component.name);
    if (plan == nullptr) continue;  // a vandal: its log speaks
    const std::string who = component.name + " (life " + std::to_string(component.life) +
                            ", status " + std::to_string(component.status) + ")";
    const bool cell_died = now.dead_cells.contains(plan->cell);
    const bool lost_home = std::any_of(plan->depends.begin(), plan->depends.end(),
                                       [&](int home) { return now.dead_cells.contains(home); });
    const bool killed = component.name == now.evidence.killed_task;
    if (!component.ended) {
      if (cell_died || lost_home || killed) {
        escape(now, "a task still runs that must have ended", who);
      } else if (!component.answered) {
        escape(now, "a task that must survive hangs", who);
      }
    } else if (!cell_died && !lost_home && !killed) {
      escape(now, "a task ended that need not end", who);
    } else if (!cell_died && lost_home && component.status != status_bus_error) {
      escape(now, "a task that lost what it depends on does not say so", who);
    } else if (!cell_died && killed && component.status != status_killed) {
      escape(now, "a task that was killed ended otherwise", who);
    }
  }
}

void Judge::learn(Case& now) {
  const auto writer_of = [&](const Witnessed& component) {
    const ComponentPlan* plan = plan_.find(component.name);
    if (plan == nullptr) return plan_.vandal_area();
    return plan->role == Role::worker ? plan->cell : -1;
  };
  for (const auto& area : pages_.lost_areas()) now.lost_until[area] = ~std::uint64_t{0};
  for (const Witnessed& component : now.evidence.components) {
    const int writer = writer_of(component);
    if (writer < 0) continue;
    for (const Event& event : component.events) {
      pages_.apply(writer, event);
      if (event.what != event::reset || event.integer(2) != plain) continue;
      const auto lost = now.lost_until.find({{event.integer(0), event.number(1)}, writer});
      if (lost != now.lost_until.end()) lost->second = event.time_ns;
    }
    if (!component.ended) continue;
    now.ended_writers.insert(writer);
    pages_.writer_ended(writer);
  }
}

void Judge::take_times(Case& now) const {
  const Evidence& evidence = now.evidence;
  if (!evidence.whole || now.dead.empty() || !evidence.activated) return;
  const auto add = [&](const char* phase, std::uint64_t from, std::uint64_t to) {
    if (from != 0 && to > from) {
      now.times_ms[phase].push_back(static_cast<double>(to - from) / 1e6);
    }
  };
  // Where the moment of the fault itself is known.
  const bool is_at_once = evidence.fault.kind.rfind("in-", 0) != 0;
  for (const Json& loss : evidence.losses) {
    const HomeKey home{loss.value("cell", -1), loss.value("incarnation", std::uint64_t{0})};
    if (!now.dead.contains(home)) continue;
    const auto noticed = loss.value("noticed_ns", std::uint64_t{0});
    if (is_at_once) add("detect", evidence.injected_ns, noticed);
    add("agree", noticed, loss.value("known_off_ns", std::uint64_t{0}));
  }
  std::uint64_t longest = 0;
  for (const Witnessed& component : evidence.components) {
    const ComponentPlan* plan = plan_.find(component.name);
    if (plan == nullptr || plan->role != Role::witness || component.ended) continue;
    for (const Event& event : component.events) {
      if (event.what != event::gap || event.number(1) < evidence.injected_ns ||
          event.number(0) > evidence.whole_ns) {
        continue;
      }
      longest = std::max(longest, event.number(1) - event.number(0));
    }
  }
  now.times_ms["recover"].push_back(static_cast<double>(longest) / 1e6);
  add("reintegrate", evidence.injected_ns, evidence.whole_ns);
}

}  // namespace hive::campaign
