// What those who live have seen.

#include <algorithm>

#include "campaign/judge/case.h"
#include "campaign/judge/judge.h"
#include "campaign/plan/events.h"

namespace hive::campaign {
namespace {

// For the driver to see that a process was killed.
constexpr std::uint64_t end_ns_max = 250'000'000;
constexpr std::uint64_t gap_max_ns = 15'000'000'000;  // longer is no recovery any more

std::string text_of(const Witnessed& by, const Event& event) {
  std::string text = by.name + "." + std::to_string(by.life) +
                     ".log: " + std::to_string(event.time_ns) + " " + event.what;
  for (const std::string& word : event.words) text += " " + word;
  return text;
}

// When the step of a worker began that ended with this event of it.
std::uint64_t began(const Witnessed& by, const Event& event) {
  std::uint64_t time_ns = event.time_ns;
  for (const Event& other : by.events) {
    if (&other == &event) break;
    if (other.what == event::publishing) time_ns = other.time_ns;
  }
  return time_ns;
}

}  // namespace

void Judge::judge_logs(Case& now) {
  std::vector<const Event*> events;
  std::map<std::size_t, const Event*> last;  // of those who ended
  for (const Witnessed& component : now.evidence.components) {
    for (const Event& event : component.events) events.push_back(&event);
    if (component.ended && !component.events.empty()) {
      last[component.events.back().by] = &component.events.back();
    }
  }
  std::stable_sort(events.begin(), events.end(),
                   [](const Event* a, const Event* b) { return a->time_ns < b->time_ns; });
  for (const Event* event : events) {
    const Witnessed& by = now.evidence.components[event->by];
    const ComponentPlan* plan = plan_.find(by.name);
    if (event->what == event::error) {
      judge_error(now, by, *event);
    } else if (event->what == event::half) {
      escape(now, "a page stays half stored without an error", text_of(by, *event));
    } else if (event->what == event::stored && event->word(0) != "foreign-open") {
      escape(now, "a wild store went through", text_of(by, *event));
    } else if (event->what == event::gap && event->number(1) - event->number(0) > gap_max_ns) {
      escape(now, "a survivor stood still", text_of(by, *event));
    } else {
      judge_audit(now, by, *event);
    }
    if (plan == nullptr || plan->role != Role::worker) continue;
    // The locks of a home are broken while its memory goes.
    const bool is_dying = event->what == event::broken &&
                          now.is_dead(event->integer(0), event->number(1));
    const auto wrong = shared_.apply(plan->cell, *event);
    if (wrong && !is_dying) {
      escape(now, *wrong, text_of(by, *event));
    }
    if (last.contains(event->by) && last[event->by] == event) shared_.worker_ended(plan->cell);
  }
}

// Once a survivor sees a live set without a cell, nothing of that cell may run any more.
void Judge::judge_the_voted_out(Case& now) const {
  std::map<int, const Event*> out;  // the first to see it
  for (const Witnessed& component : now.evidence.components) {
    for (const Event& event : component.events) {
      if (event.what != event::scan || !now.dead.contains({event.integer(4), event.number(6)})) {
        continue;
      }
      const Event*& first = out[event.integer(4)];
      if (first == nullptr || event.time_ns < first->time_ns) first = &event;
    }
  }
  for (const KernelFact& kernel : now.evidence.kernels) {
    const auto seen = out.find(kernel.cell);
    if (kernel.died_ns == 0 || seen == out.end()) continue;
    if (seen->second->number(6) != kernel.incarnation) continue;
    if (kernel.died_ns <= seen->second->time_ns + end_ns_max) continue;
    escape(now, "a cell that was voted out was not switched off",
           "the kernel of cell " + std::to_string(kernel.cell) + " lived until " +
               std::to_string(kernel.died_ns) + "; " +
               text_of(now.evidence.components[seen->second->by], *seen->second));
  }
  for (const Witnessed& component : now.evidence.components) {
    const ComponentPlan* plan = plan_.find(component.name);
    if (plan == nullptr || !out.contains(plan->cell) || component.events.empty()) continue;
    const Event& last = component.events.back();
    const Event& seen = *out[plan->cell];
    if (last.time_ns <= seen.time_ns) continue;
    escape(now, "a task of a cell that was voted out still runs",
           text_of(component, last) + "; " + text_of(now.evidence.components[seen.by], seen));
  }
}

// An error is right only where somebody died who had to do with it.
void Judge::judge_error(Case& now, const Witnessed& by, const Event& event) const {
  const Kind* kind = find_kind(now.evidence.fault.kind);
  const ComponentPlan* plan = plan_.find(by.name);
  // A task believes what its own cell says, until it goes down with it.
  if (kind != nullptr && kind->fate == Fate::may_die && plan != nullptr &&
      now.dead_cells.contains(plan->cell)) {
    return;
  }
  const std::string& operation = event.word(0);
  const int home = event.integer(1);
  const std::string& code = event.word(3);
  const int writer = std::atoi(event.word(5).c_str());
  if (now.dead_cells.contains(home)) {
    // host, lost: it could do nothing with its memory any more.
    if (code == "cell_down" || code == "timed_out" || code == "host" || code == "lost") return;
    // Its name goes with it.
    if (operation == "open_home" && (code == "not_found" || code == "busy")) return;
  } else if (code == "lost" && writer >= 0) {
    if (now.ended_writers.contains(writer)) return;
    // What an earlier fault tore stays so until its writer, begun anew, has come to it.
    const auto lost = now.lost_until.find({{home, event.number(2)}, writer});
    if (lost != now.lost_until.end() && began(by, event) <= lost->second) return;
  }
  escape(now, "a call fails that nothing stands in the way of", text_of(by, event));
}

void Judge::judge_audit(Case& now, const Witnessed& by, const Event& event) {
  const auto complain = [&](const std::optional<std::string>& wrong) {
    if (wrong) escape(now, *wrong, text_of(by, event));
  };
  const auto is_down = [&](const std::string& seen) -> std::optional<std::string> {
    if (seen == "!cell_down" || seen == "cell_down") return std::nullopt;
    return "memory of a dead cell can be used: " + seen;
  };
  const bool is_page = event.what == event::page;
  if (is_page || event.what == event::scan) {
    const HomeKey home{event.integer(1), event.number(2)};
    const PageName name{home.home, event.integer(3), event.integer(4), event.integer(5)};
    if (!now.dead.contains(home))
      return complain(pages_.observe(home, name, event.word(is_page ? 6 : 7)));
    if (is_page) complain(is_down(event.word(6)));
  } else if (event.what == event::count || event.what == event::queue ||
             event.what == event::value) {
    if (now.is_dead(event.integer(1), event.number(2))) return complain(is_down(event.word(3)));
    complain(shared_.audit(event, now.ended_writers));
  } else if (event.what == event::old) {
    complain(is_down(event.word(3)));
  }
}

// Frames that do not add up: what the cells have in use and torn, against what they must have.
void Judge::judge_accounts(Case& now) const {
  std::uint64_t pages = 0;
  for (int kind = 0; kind < segment_kinds; ++kind) pages += plan_.segment_pages(kind);
  for (const Json& cell : now.evidence.status_after.value("cells", Json::array())) {
    const int id = cell.value("id", -1);
    if (now.dead_cells.contains(id)) continue;  // new and empty: its worker comes next
    const Json memory = cell.value("memory", Json::object());
    const HomeKey home{id, cell.value("incarnation", std::uint64_t{0})};
    const auto used = static_cast<std::uint64_t>(memory.value("segments_mib", 0.0) * 256 + 0.5);
    const std::uint64_t streams = now.ended_writers.contains(id) ? 2 : 0;
    const std::uint64_t torn = pages_.torn(home) + streams;
    if (memory.value("segments", 0) != segment_kinds || used < pages) {
      escape(now, "the frames of a cell do not add up",
             "cell " + std::to_string(id) + ": " + memory.dump() + ", planned " +
                 std::to_string(pages) + " pages");
    }
    if (memory.value("torn_pages", std::uint64_t{0}) != torn) {
      escape(now, "the torn pages of a cell do not add up",
             "cell " + std::to_string(id) + ": " + memory.dump() + ", must be " +
                 std::to_string(torn));
    }
  }
}

}  // namespace hive::campaign
