#include "campaign/load/worker.h"

#include <algorithm>
#include <thread>

#include "campaign/plan/events.h"

namespace hive::campaign {

Worker::Worker(Setting& setting) : Component(setting) {
  homes_.resize(static_cast<std::size_t>(plan().cells));
  for (int cell = 0; cell < plan().cells; ++cell)
    homes_[static_cast<std::size_t>(cell)].cell = cell;
  round_ = life() << 32;
  published_ = life() << 32;
}

Result<void> Worker::prepare() {
  Home& own = homes_[static_cast<std::size_t>(self().cell)];
  if (auto opened = open_home(session(), plan(), own, setting_.incarnation, true, true); !opened) {
    return opened;
  }
  start_streams();
  epoch_ = seen_epoch_ = session().epoch();
  watcher_ = std::jthread([this](std::stop_token stop) { watch_live_set(stop); });
  return {};
}

Home* Worker::random_home(const std::vector<int>& cells) {
  if (cells.empty()) return nullptr;
  Home& home = homes_[static_cast<std::size_t>(cells[random().below(cells.size())])];
  return home.usable ? &home : nullptr;
}

void Worker::note_error(const char* operation, Home& home, const Error& error, int writer) {
  log().note("{} {} {} {} {} {} {}", event::error, operation, home.cell, home.incarnation,
             code_name(error.code), error.cell, writer);
  if (error.code == Code::cell_down) home.usable = false;
}

void Worker::step() {
  publish();
  const std::uint64_t what = random().below(20);
  if (what < 11) {
    if (Home* home = random_home(self().writes)) write_window(*home);
  } else if (what < 15) {
    check_random_page();
  } else if (what < 16) {
    if (Home* home = random_home(self().shares)) add_one(*home);
  } else if (what < 18) {
    if (Home* home = random_home(self().shares)) lock_and_change(*home);
  } else if (what < 19) {
    if (Home* home = random_home(self().shares)) take_item(*home);
  } else {
    Home& home = homes_[random().below(homes_.size())];
    if (home.usable && home.cell != self().cell) follow(home);
  }
  std::this_thread::sleep_for(std::chrono::microseconds(random().below(800)));
}

void Worker::audit(std::uint64_t fault) {
  for (Home& home : homes_) {
    if (home.incarnation == 0) continue;
    audit_pages(fault, home);
    audit_sync(fault, home);
  }
  for (std::size_t i = 0; i < old_.size(); ++i) {
    auto word = old_[i].read_as<std::uint64_t>(0);
    log().note("{} {} {} {} {}", event::old, fault, old_[i].home(), old_incarnations_[i],
               word ? "ok" : code_name(word.error().code));
  }
}

void Worker::go(const std::vector<std::uint64_t>& incarnations) {
  const std::scoped_lock lock(homes_mutex_);
  old_.clear();
  old_incarnations_.clear();
  for (Home& home : homes_) {
    const auto index = static_cast<std::size_t>(home.cell);
    const std::uint64_t now = index < incarnations.size() ? incarnations[index] : 0;
    if (now == 0) {
      home.usable = false;
    } else if (now != home.incarnation) {
      if (home.incarnation != 0 && home.segments[0]) {
        old_.push_back(std::move(*home.segments[0]));
        old_incarnations_.push_back(home.incarnation);
        home.segments[0].reset();
      }
      const auto opened = open_home(session(), plan(), home, now, false, true);
      if (!opened) note_error("open_home", home, opened.error());
    } else {
      home.usable = true;
    }
    if (fresh_ && home.usable) reset_area(home, self().cell);
    if (home.usable && home.cell != self().cell) open_streams(home);
  }
  fresh_ = false;
  epoch_ = session().epoch();
}

std::unique_ptr<Component> make_worker(Setting& setting) {
  return std::make_unique<Worker>(setting);
}

}  // namespace hive::campaign
