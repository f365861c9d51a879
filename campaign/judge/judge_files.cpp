// What became of files.

#include <cerrno>

#include "campaign/judge/case.h"
#include "campaign/judge/judge.h"
#include "campaign/plan/events.h"

namespace hive::campaign {
namespace {

std::string text_of(const Witnessed& by, const Event& event) {
  std::string text = by.name + "." + std::to_string(by.life) +
                     ".log: " + std::to_string(event.time_ns) + " " + event.what;
  for (const std::string& word : event.words) text += " " + word;
  return text;
}

bool is_of_disk(const std::string& kind) { return kind.rfind("disk-", 0) == 0; }

}  // namespace

void Judge::judge_files(Case& now) {
  const auto filer_of = [&](const Witnessed& component) {
    const ComponentPlan* plan = plan_.find(component.name);
    return plan != nullptr && plan->role == Role::filer ? plan : nullptr;
  };
  for (const Witnessed& component : now.evidence.components) {
    const ComponentPlan* filer = filer_of(component);
    if (filer == nullptr) continue;
    for (const Event& event : component.events) files_.apply(filer->cell, event);
    if (component.ended) now.ended_filers.insert(filer->cell);
  }
  // Who is drained first brings to the disk what it has acknowledged.
  std::set<int> lost = now.dead_cells;
  if (now.evidence.fault.kind == "drain") {
    for (const int cell : now.evidence.fault.targets) lost.erase(cell);
  }
  for (const Witnessed& component : now.evidence.components) {
    if (filer_of(component) == nullptr) continue;
    for (const Event& event : component.events) {
      std::optional<std::string> wrong;
      if (event.what == event::foreign) wrong = "a file has bytes that nobody stored there";
      if (event.what == event::file_page) {
        wrong = files_.observe_page(event, lost, now.ended_filers);
      }
      if (event.what == event::names) wrong = files_.observe_names(event);
      if (wrong) escape(now, *wrong, text_of(component, event));
      if (event.what == event::file_error) judge_file_error(now, component, event);
      if (event.what == event::old_file) judge_old_file(now, component, event);
    }
  }
  files_.settle(now.dead_cells);
  for (const Json& cell : now.evidence.frames) {
    if (cell.value("adds_up", false)) continue;
    escape(now, "the frames of a cell do not add up", cell.dump());
  }
}

// An error is right only where somebody died who had to do with it, or its disk was made to fail.
void Judge::judge_file_error(Case& now, const Witnessed& by, const Event& event) const {
  const int home = event.integer(1);
  const int told = event.integer(3);
  // A path leads over the homes of names, and fsync of who made a file is about its name as well.
  const std::string& operation = event.word(0);
  const bool is_name = event.word(1) == "-1";
  const bool has_name =
      is_name || operation == "look" || operation == "open" || operation == "fsync";
  const auto& targets = now.evidence.fault.targets;
  const bool is_down = told == EHOSTDOWN || told == ETIMEDOUT || told == ENOTCONN ||
                       told == EBUSY || told == EAGAIN;
  if (is_down && has_name && !now.dead_cells.empty()) return;
  const bool died = is_name ? !now.dead_cells.empty() : now.dead_cells.contains(home);
  if (died && (is_down || told == EIO)) return;
  // Who ends takes along what it had open to stores, and whoever has the file open is told.
  if (operation == "look" && !now.ended_filers.empty() && (told == EIO || told == EBUSY)) return;
  const bool failed = is_of_disk(now.evidence.fault.kind) && (is_name || home == targets.front());
  if (failed && (told == EIO || told == ENOSPC || told == ENOMEM)) return;
  // A task believes what its own cell says, until it goes down with it.
  const ComponentPlan* plan = plan_.find(by.name);
  if (plan != nullptr && now.dead_cells.contains(plan->cell)) return;
  escape(now, "a call on files fails that nothing stands in the way of", text_of(by, event));
}

// It is of the incarnation that it was opened under, and of no other.
void Judge::judge_old_file(Case& now, const Witnessed& by, const Event& event) const {
  const bool died = now.is_dead(event.integer(1), event.number(2));
  const int told = event.integer(3);
  if (died && told != EIO) {
    escape(now, "a descriptor of a file outlives its home", text_of(by, event));
  } else if (!died && told != 0) {
    escape(now, "a descriptor of a file fails though its home lives", text_of(by, event));
  }
}

}  // namespace hive::campaign
