// What fixtures of a cell that borrows have in common: its lenders, and what becomes of them.
#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include "base/time.h"
#include "cell/borrow/borrowed_frames.h"
#include "next_door.h"

namespace hive::cell::test {

class WithLenders {
 protected:
  static constexpr CellId first_lender = 0;
  static constexpr CellId second_lender = 2;
  static constexpr std::uint64_t wait_max_ns = 60 * ns_per_s;
  static constexpr std::uint64_t short_recall_ns = 20 * ns_per_ms;

  // `parts`: all but the lenders. None has been started yet.
  void start_borrowing(const machine::Layout& layout, BorrowedFrames::Parts parts) {
    doors = std::make_unique<NextDoor>(layout, Borrower{parts.self, 1});
    parts.lenders = doors.get();
    parts.pause_ns = pause_ns;
    borrowed = std::make_unique<BorrowedFrames>(parts);
  }
  void start_lenders(int count, std::uint64_t recall_ns) {
    if (count > 0) start_lender(first_lender, recall_ns);
    if (count > 1) start_lender(second_lender, recall_ns);
  }
  void start_lender(CellId cell, std::uint64_t recall_ns = recall_max_ns) {
    doors->start(cell, recall_ns).use_recall([this, cell](CellId, machine::PageRange range) {
      if (hears_recall) borrowed->on_recall(cell, range);
    });
  }
  void kill_lender(CellId cell) {
    doors->kill(cell);
    borrowed->on_lender_down(cell);
  }
  void restart_lender(CellId cell) {
    kill_lender(cell);
    start_lender(cell, short_recall_ns);
  }
  // The lender wants its frames back; not `heard`: it takes them from one who knows nothing of it.
  void recall(CellId cell, bool heard) {
    hears_recall = heard;
    (void)doors->home(cell).recall_lent();
    hears_recall = true;
  }
  void expect_lenders_sound() {
    for (const LenderOffer& offer : doors->offers()) {
      const auto sound = doors->home(offer.cell).check_frames().sound;
      EXPECT_TRUE(sound) << sound.error().message();
      for (const std::string& breach : doors->node(offer.cell).frames.breaches()) {
        ADD_FAILURE() << "lender " << offer.cell << ": " << breach;
      }
    }
  }
  std::uint64_t lent_by(CellId cell) { return doors->home(cell).frames_in(FrameState::lent); }
  // Waits for what threads do in the background.
  template <class Condition>
  static bool wait_for(Condition condition) {
    const std::uint64_t deadline = now_ns() + wait_max_ns;
    while (!condition()) {
      if (now_ns() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  std::uint64_t pause_ns = recall_pause_ns;
  std::unique_ptr<NextDoor> doors;
  std::unique_ptr<BorrowedFrames> borrowed;
  std::atomic<bool> hears_recall{true};
};

}  // namespace hive::cell::test
