// Windows on the worker's own area, and what it reads of the areas of others.

#include <cstring>
#include <thread>

#include "campaign/load/worker.h"
#include "campaign/plan/clock.h"
#include "campaign/plan/events.h"

namespace hive::campaign {
namespace {

// A page that is being stored is seen half old, half new; one that nobody goes on with must become
// an error.
constexpr std::uint64_t half_max_ns = 5'000'000'000;
constexpr std::uint64_t looks_a_beat = 10;
constexpr std::uint64_t page_kinds = 2;  // plain and undo

std::uint64_t offset_of(const Plan& plan, int writer, int page) {
  return (plan.area_first_page(writer) + static_cast<std::uint64_t>(page)) * page_size;
}

Result<void> read_page(const Home& home, std::uint64_t offset, int kind, Page& page) {
  return home.segments[static_cast<std::size_t>(kind)]->read(
      offset, std::as_writable_bytes(std::span(page)));
}

}  // namespace

bool Worker::fill(const WriteWindow& window, const PageName& first, int pages,
                  std::uint64_t round) {
  // A window is caught half stored more often if its writer takes its time now and then.
  const std::uint64_t pause_us = random().one_in(3) ? random().below(1500) : 0;
  const auto stored = hive::guarded([&] {
    for (int i = 0; i < pages; ++i) {
      PageName name = first;
      name.page += i;
      const std::uint64_t key = page_key(plan().seed, name, round);
      auto* words = window.at<volatile std::uint64_t>(static_cast<std::uint64_t>(i) * page_size);
      for (std::size_t word = 0; word < page_words; ++word) {
        if (pause_us != 0 && word == page_words / 2) {
          std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
        }
        words[word] = page_word(key, round, word);
      }
    }
  });
  return stored.has_value();
}

void Worker::write_window(Home& home) {
  const int kind = static_cast<int>(random().below(page_kinds));
  const int pages = static_cast<int>(random().between(1, Plan::window_pages_max));
  const int page =
      static_cast<int>(random().below(static_cast<std::uint64_t>(Plan::area_pages - pages + 1)));
  const std::uint64_t round = ++round_;
  const auto note = [&](const char* what) {
    log().note("{} {} {} {} {} {} {}", what, home.cell, home.incarnation, kind, page, pages,
               round);
  };
  const auto note_failed = [&](const char* step, const char* code) {
    log().note("{} {} {} {} {} {} {} {} {}", event::failed, home.cell, home.incarnation, kind,
               page, pages, round, step, code);
  };
  note(event::opening);
  auto window = home.segments[static_cast<std::size_t>(kind)]->write(
      offset_of(plan(), self().cell, page), static_cast<std::uint64_t>(pages) * page_size);
  if (!window) {
    note_failed("open", code_name(window.error().code));
    return note_error("open", home, window.error(), self().cell);
  }
  note(event::opened);
  if (!fill(*window, {home.cell, kind, self().cell, page}, pages, round)) {
    note_failed("store", "fault");
  }
  note(event::committing);
  if (auto done = window->commit(); !done) {
    note_failed("commit", code_name(done.error().code));
    return note_error("commit", home, done.error(), self().cell);
  }
  note(event::committed);
}

void Worker::check_page(Home& home, int kind, int writer, int page) {
  const std::uint64_t deadline = monotonic_ns() + half_max_ns;
  const PageName name{home.cell, kind, writer, page};
  Page words{};
  do {
    if (auto read = read_page(home, offset_of(plan(), writer, page), kind, words); !read) {
      return note_error("read", home, read.error(), writer);
    }
    if (words == make_page(plan().seed, name, words[0])) return;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  } while (monotonic_ns() < deadline);
  log().note("{} {} {} {} {} {}", event::half, home.cell, home.incarnation, kind, writer, page);
}

void Worker::check_random_page() {
  Home& home = homes_[random().below(homes_.size())];
  if (!home.usable) return;
  const int kind = static_cast<int>(random().below(page_kinds));
  const int writer = static_cast<int>(random().below(static_cast<std::uint64_t>(plan().cells)));
  check_page(home, kind, writer, static_cast<int>(random().below(Plan::area_pages)));
}

// The live set has changed here, so everybody has discarded: what a cell that is out of it had
// open can no longer be seen anywhere, from now on and at once.
void Worker::scan_the_dead() {
  const std::scoped_lock lock(homes_mutex_);
  const std::uint64_t epoch = session().epoch();
  if (epoch == std::exchange(epoch_, epoch)) return;
  const std::vector<CellView> cells = session().cells();
  for (const CellView& dead : cells) {
    if (dead.up) continue;
    for (const Home& home : homes_) {
      if (home.incarnation == 0 || !cells[static_cast<std::size_t>(home.cell)].up) continue;
      for (int kind = 0; kind < static_cast<int>(page_kinds); ++kind) {
        for (int page = 0; page < Plan::area_pages; ++page) scan_page(home, kind, dead.id, page);
      }
    }
  }
}

void Worker::scan_page(const Home& home, int kind, int writer, int page) {
  Page words{};
  auto read = read_page(home, offset_of(plan(), writer, page), kind, words);
  const std::string seen =
      read ? std::to_string(hash_words(words)) : std::string("!") + code_name(read.error().code);
  log().note("{} {} {} {} {} {} {} {} {}", event::scan, epoch_, home.cell, home.incarnation, kind,
             writer, page, homes_[static_cast<std::size_t>(writer)].incarnation, seen);
}

// A thread of its own: whatever the worker is waiting for, this comes at once.
void Worker::watch_live_set(const std::stop_token& stop) {
  for (std::uint64_t looks = 1; !stop.stop_requested(); ++looks) {
    if (looks % looks_a_beat == 0) log().note("{}", event::beat);
    if (session().epoch() != seen_epoch_) {
      seen_epoch_ = session().epoch();
      scan_the_dead();
    }
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
}

void Worker::audit_pages(std::uint64_t fault, Home& home) {
  for (int kind = 0; kind < static_cast<int>(page_kinds); ++kind) {
    if (!home.segments[static_cast<std::size_t>(kind)]) continue;
    for (int writer = 0; writer <= plan().vandal_area(); ++writer) {
      for (int page = 0; page < Plan::area_pages; ++page) {
        Page words{};
        auto read = read_page(home, offset_of(plan(), writer, page), kind, words);
        if (read) {
          log().note("{} {} {} {} {} {} {} {}", event::page, fault, home.cell, home.incarnation,
                     kind, writer, page, hash_words(words));
        } else {
          log().note("{} {} {} {} {} {} {} !{}", event::page, fault, home.cell, home.incarnation,
                     kind, writer, page, code_name(read.error().code));
        }
      }
    }
  }
}

// A worker that begins anew gives up what was torn under the one before it.
void Worker::reset_area(Home& home, int writer) {
  for (int kind = 0; kind < static_cast<int>(page_kinds); ++kind) {
    log().note("{} {} {} {}", event::resetting, home.cell, home.incarnation, kind);
    auto done = home.segments[static_cast<std::size_t>(kind)]->reset(offset_of(plan(), writer, 0),
                                                                     Plan::area_pages * page_size);
    if (!done) {
      note_error("reset", home, done.error(), writer);
      continue;
    }
    log().note("{} {} {} {}", event::reset, home.cell, home.incarnation, kind);
  }
}

}  // namespace hive::campaign
