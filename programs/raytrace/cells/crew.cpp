#include "cells/crew.h"

#include <fmt/format.h>

#include <thread>

namespace raytrace {
namespace {

constexpr std::uint64_t mark_finished = 1u << 16;  // above any cell number
constexpr std::uint64_t ready_good = 1, ready_bad = 2;

std::string mark_name(int component) { return fmt::format("component-{}", component); }

Ended unusable(const hive::Error& e, const char* doing) {
  const bool is_loss = e.code == hive::Code::cell_down || e.code == hive::Code::lost ||
                       e.code == hive::Code::timed_out;
  return {is_loss ? exit_lost : exit_bad_input, fmt::format("{}: {}", doing, e.message())};
}

}  // namespace

Crew::Crew(hive::Session& session, bool survive, hive::Segment control, hive::Barrier started,
           hive::Barrier finished, hive::Counter ready, hive::Counter mark)
    : session_(&session),
      survive_(survive),
      control_(std::move(control)),
      started_(std::move(started)),
      finished_(std::move(finished)),
      ready_(std::move(ready)),
      mark_(std::move(mark)),
      epoch_(session.epoch()),
      cells_(session.cells()) {}

Step<Crew> Crew::meet(hive::Session& session, bool survive) {
  constexpr const char* doing = "cannot meet the other components";
  const std::string name = "raytrace-run-" + session.span_id();
  const auto parties = static_cast<std::uint32_t>(session.span_count());
  auto control = session.span_index() == 0 ? session.create(name, hive::page_size)
                                           : session.open(name, meet_wait);
  if (!control) return Stop(unusable(control.error(), doing));
  auto started = hive::Barrier::open(*control, "started", parties);
  if (!started) return Stop(unusable(started.error(), doing));
  auto finished = hive::Barrier::open(*control, "finished", parties);
  if (!finished) return Stop(unusable(finished.error(), doing));
  auto ready = hive::Counter::open(*control, "ready");
  if (!ready) return Stop(unusable(ready.error(), doing));
  auto mark = hive::Counter::open(*control, mark_name(session.span_index()));
  if (!mark) return Stop(unusable(mark.error(), doing));
  if (auto done = mark->add(static_cast<std::uint64_t>(session.cell()) + 1); !done) {
    return Stop(unusable(done.error(), doing));
  }
  return Crew(session, survive, std::move(*control), std::move(*started), std::move(*finished),
              std::move(*ready), std::move(*mark));
}

Stop Crew::lost(int cell) const {
  const auto epoch = static_cast<unsigned long long>(session_->epoch());
  if (cell == control_.home()) {
    return Stop({exit_lost, fmt::format("cell {} has failed (epoch {}), and with it the scene and "
                                        "the picture, whose home it was",
                                        cell, epoch)});
  }
  return Stop({exit_lost, fmt::format("cell {}, which took part, has failed (epoch {}); "
                                      "with --survive the others would finish the picture",
                                      cell, epoch)});
}

Stop Crew::stop(const hive::Error& error, const char* doing) const {
  if (error.code == hive::Code::cell_down) {
    return lost(error.cell >= 0 ? error.cell : control_.home());
  }
  // A loss often shows as another error first: its cause is the better thing to say.
  for (const hive::CellView& cell : session_->cells()) {
    if (cell.id == control_.home() && !cell.up) return lost(cell.id);
  }
  const bool is_loss = error.code == hive::Code::lost || error.code == hive::Code::timed_out;
  return Stop(
      {is_loss ? exit_lost : exit_bad_input, fmt::format("{}: {}", doing, error.message())});
}

Step<void> Crew::announce(bool good) {
  constexpr const char* doing = "cannot start the other components";
  if (auto done = ready_.add(good ? ready_good : ready_bad); !done) {
    return stop(done.error(), doing);
  }
  const auto all = started_.arrive_and_wait(meet_wait);
  if (all) return {};
  if (survive_ && all.error().code == hive::Code::lost) return {};  // without those who are gone
  if (auto news = check(); !news) return news;
  return stop(all.error(), doing);
}

Step<bool> Crew::await_scene() {
  constexpr const char* doing = "waiting for the scene";
  const auto all = started_.arrive_and_wait(load_wait);
  if (!all && !(survive_ && all.error().code == hive::Code::lost)) {
    if (auto news = check(); !news) return Stop(news.error());
    return stop(all.error(), doing);
  }
  // Somebody who died has broken the barrier: the leader goes on, but says so by the counter only.
  const auto deadline = std::chrono::steady_clock::now() + load_wait;
  for (;;) {
    const auto ready = ready_.get();
    if (!ready) return stop(ready.error(), doing);
    if (*ready != 0) return *ready == ready_good;
    if (std::chrono::steady_clock::now() > deadline) {
      return Stop({exit_lost, "the leader has not read the scene in time"});
    }
    std::this_thread::sleep_for(poll_wait);
  }
}

Step<std::vector<std::uint64_t>> Crew::marks() const {
  std::vector<std::uint64_t> values;
  for (int i = 0; i < size(); ++i) {
    const auto counter = hive::Counter::open(control_, mark_name(i));
    if (!counter) return stop(counter.error(), "asking for the other components");
    const auto value = counter->get();
    if (!value) return stop(value.error(), "asking for the other components");
    values.push_back(*value);
  }
  return values;
}

Step<void> Crew::check() {
  const std::uint64_t epoch = session_->epoch();
  if (epoch == epoch_) return {};
  epoch_ = epoch;
  const auto before = std::exchange(cells_, session_->cells());
  for (const hive::CellView& now : cells_) {
    const auto same = [&](const hive::CellView& c) { return c.id == now.id && c.up; };
    if (now.up || std::none_of(before.begin(), before.end(), same)) continue;
    if (now.id == control_.home()) return lost(now.id);
    if (survive_) continue;
    const auto values = marks();
    if (!values) return Stop(values.error());
    for (const std::uint64_t value : *values) {
      if (value % mark_finished == static_cast<std::uint64_t>(now.id) + 1) return lost(now.id);
    }
  }
  return {};
}

Step<void> Crew::finish() {
  constexpr const char* doing = "waiting for the other components";
  if (auto done = mark_.add(mark_finished); !done) return stop(done.error(), doing);
  const auto all = finished_.arrive_and_wait(finish_wait);
  if (all) return {};
  if (all.error().code == hive::Code::cell_down) return stop(all.error(), doing);
  if (survive_) return check();
  if (auto news = check(); !news) return news;
  // No cell is missing: it may be back already, or only the task died. Whoever has not said that
  // it finished is the one.
  const auto values = marks();
  if (!values) return Stop(values.error());
  for (const std::uint64_t value : *values) {
    if (value >= mark_finished || value == 0) continue;
    return Stop({exit_lost, fmt::format("the component in cell {} is gone before its work was "
                                        "done; with --survive the others would finish the picture",
                                        value - 1)});
  }
  return stop(all.error(), doing);
}

}  // namespace raytrace
