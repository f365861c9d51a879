#include "campaign/judge/pages.h"

#include "campaign/plan/events.h"

namespace hive::campaign {
namespace {

constexpr int plain = static_cast<int>(SegmentKind::plain);

}  // namespace

void Pages::apply(int writer, const Event& event) {
  const HomeKey home{event.integer(0), event.number(1)};
  const int kind = event.integer(2);
  if (event.what == event::opening) {
    windows_[writer] = {home,          kind, event.integer(3), event.integer(4), event.number(5),
                        Stage::opening};
  } else if (event.what == event::opened) {
    windows_[writer].stage = Stage::opened;
  } else if (event.what == event::committing) {
    windows_[writer].stage = Stage::committing;
  } else if (event.what == event::committed) {
    const Window window = windows_[writer];
    for (int i = 0; i < window.pages; ++i) {
      at(window.home, {window.home.home, window.kind, writer, window.page + i}) = {
          {window.round}, false, 0};
    }
    windows_.erase(writer);
  } else if (event.what == event::failed) {
    // Only the memory of a home that has died fails to be stored to; it goes with it. An error
    // that has no such reason is judged by itself.
    if (event.word(6) != "store") windows_.erase(writer);
  } else if (event.what == event::resetting || event.what == event::reset) {
    reset_area(writer, home, kind, event.what == event::reset);
  }
}

void Pages::reset_area(int writer, const HomeKey& home, int kind, bool done) {
  for (int page = 0; page < Plan::area_pages; ++page) {
    State& state = at(home, {home.home, kind, writer, page});
    if (!state.lost) continue;
    state.rounds.insert(0);
    state.lost = !done;
    state.open_round = 0;
  }
}

void Pages::writer_ended(int writer) {
  const auto found = windows_.find(writer);
  if (found == windows_.end()) return;
  const Window window = found->second;
  windows_.erase(found);
  for (int i = 0; i < window.pages; ++i) {
    State& state = at(window.home, {window.home.home, window.kind, writer, window.page + i});
    state.open_round = window.round;
    if (window.stage == Stage::committing) state.rounds.insert(window.round);
    if (window.kind != plain) continue;  // rolled back, or committed
    state.lost = true;
    // Once it was opened the old content may be half gone, so nobody may see a byte of it.
    if (window.stage == Stage::opened) state.rounds.clear();
    if (window.stage == Stage::committing) state.rounds = {window.round};
  }
}

void Pages::home_died(const HomeKey& home) {
  std::erase_if(states_, [&](const auto& entry) { return entry.first.home == home; });
  std::erase_if(windows_, [&](const auto& entry) { return entry.second.home == home; });
}

std::optional<std::string> Pages::observe(const HomeKey& home, const PageName& name,
                                          const std::string& seen) {
  State& state = at(home, name);
  if (!seen.empty() && seen[0] == '!') {
    if (seen != "!lost") return "a page of a cell that lives can not be read: " + seen.substr(1);
    if (!state.lost) return "a page was discarded that nobody can have stored to";
    state.rounds.clear();
    return std::nullopt;
  }
  const std::uint64_t hash = std::strtoull(seen.c_str(), nullptr, 10);
  for (const std::uint64_t round : state.rounds) {
    if (page_hash(plan_.seed, name, round) != hash) continue;
    state.rounds = {round};
    state.lost = false;
    return std::nullopt;
  }
  const std::uint64_t open = state.open_round;
  if (open != 0 && page_hash(plan_.seed, name, open) == hash) {
    return "bytes are visible that were never committed";
  }
  if (state.rounds.empty()) return "a page can be read that its dead writer had open";
  return "a page holds what nobody committed";
}

std::set<std::pair<HomeKey, int>> Pages::lost_areas() const {
  std::set<std::pair<HomeKey, int>> areas;
  for (const auto& [key, state] : states_) {
    if (state.lost) areas.emplace(key.home, key.name.writer);
  }
  return areas;
}

std::uint64_t Pages::torn(const HomeKey& home) const {
  std::uint64_t count = 0;
  for (const auto& [key, state] : states_) {
    count += key.home == home && key.name.segment == plain && state.lost && state.rounds.empty()
                 ? 1
                 : 0;
  }
  return count;
}

}  // namespace hive::campaign
