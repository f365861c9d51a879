// Anonymous memory that does not fit its node lies in frames of other cells.

#include "away_fixture.h"

namespace hive::cell::test {
namespace {

constexpr std::uint64_t too_many = 384;  // one and a half times the node

class AwayPagesTest : public AwayTest {
 protected:
  static void fill(Memory& task, std::uint64_t salt = 1000) {
    for (std::uint64_t p = 0; p < task.count(); ++p) {
      const auto stored = task.store(p, salt + p);
      ASSERT_TRUE(stored) << p << ": " << stored.error().message();
    }
  }
  static void expect_all(Memory& task, std::uint64_t salt = 1000) {
    for (std::uint64_t p = 0; p < task.count(); ++p) {
      const auto value = task.load(p);
      ASSERT_TRUE(value) << p << ": " << value.error().message();
      EXPECT_EQ(*value, salt + p) << p;
    }
  }
  // Touches all; returns how many are lost, each with that cell.
  static std::uint64_t count_lost(Memory& task, CellId with, std::uint64_t salt = 1000) {
    std::uint64_t lost = 0;
    for (std::uint64_t p = 0; p < task.count(); ++p) {
      const auto value = task.load(p);
      if (value) {
        EXPECT_EQ(*value, salt + p) << p;
        continue;
      }
      EXPECT_EQ(value.error().code, Code::lost) << value.error().message();
      EXPECT_EQ(value.error().cell, with);
      ++lost;
    }
    return lost;
  }
  void expect_sound() {
    const auto sound = home->check_frames().sound;
    EXPECT_TRUE(sound) << sound.error().message();
  }
};

TEST_F(AwayPagesTest, ATaskHasMoreMemoryThanItsNode) {
  start_cells(2);
  Memory task(*this, too_many);
  fill(task);
  EXPECT_GE(away->counts().away, too_many - pages);
  for (int i = 0; i < 2; ++i) expect_all(task);
  expect_sound();
  EXPECT_EQ(borrowed->counts().borrowed, lent_by(first_lender) + lent_by(second_lender));
  EXPECT_GT(away->counts().came_back, 0U);
}

TEST_F(AwayPagesTest, NothingMovesWhileThereIsRoom) {
  start_cells(1);
  Memory task(*this, pages);
  fill(task);
  expect_all(task);
  EXPECT_EQ(away->counts().moved_away, 0U);
  EXPECT_EQ(borrowed->counts().loans, 0U);
}

TEST_F(AwayPagesTest, WhereNobodyLendsTheOneTouchFails) {
  start_cells(1);
  leave_to_spare(first_lender, 0);
  Memory task(*this, too_many);
  for (std::uint64_t p = 0; p < pages; ++p) ASSERT_TRUE(task.store(p, 1000 + p));
  const auto failed = task.store(pages, 1);
  ASSERT_EQ(code_of(failed), Code::exhausted);
  EXPECT_EQ(failed.error().sys_errno, ENOMEM);
  EXPECT_EQ(failed.error().cell, self);
  for (std::uint64_t p = 0; p < pages; ++p) EXPECT_EQ(*task.load(p), 1000 + p);
  expect_sound();
}

TEST_F(AwayPagesTest, WhatATaskHasItCanTouchWhenNobodyLendsMore) {
  start_cells(1);
  leave_to_spare(first_lender, 64);
  Memory task(*this, too_many);
  std::uint64_t filled = 0;
  while (filled < too_many && task.store(filled, 1000 + filled)) ++filled;
  EXPECT_EQ(filled, pages + 64 - away_reserve);
  for (int i = 0; i < 3; ++i) {
    for (std::uint64_t p = 0; p < filled; ++p) {
      const auto value = task.load(p);
      ASSERT_TRUE(value) << p << ": " << value.error().message();
      EXPECT_EQ(*value, 1000 + p);
    }
  }
  EXPECT_EQ(code_of(task.store(filled, 1)), Code::exhausted);
}

TEST_F(AwayPagesTest, WhatEndsGivesTheLendersTheirFrames) {
  start_cells(2);
  for (const bool dies : {false, true}) {
    Memory task(*this, too_many);
    fill(task);
    EXPECT_GT(lent_by(first_lender) + lent_by(second_lender), 0U);
    dies ? task.die() : task.unmap();
    EXPECT_EQ(away->counts().away, 0U);
    // What was borrowed, and never used, goes when it has been idle for long.
    borrowed->return_spare();
    EXPECT_TRUE(wait_for([&] { return borrowed->counts().borrowed == 0; }));
    EXPECT_EQ(lent_by(first_lender) + lent_by(second_lender), 0U);
    while (home->needs_clean_up()) home->clean_up();
    EXPECT_EQ(home->frames_in(FrameState::free), pages);
  }
}

TEST_F(AwayPagesTest, ADeadLenderCostsThePagesThatLieThereAndNoOthers) {
  start_cells(2);
  leave_to_spare(first_lender, 96);
  leave_to_spare(second_lender, 96);
  Memory task(*this, too_many);
  fill(task);
  EXPECT_GT(lent_by(second_lender), 0U);
  const std::uint64_t before = away->counts().away;
  kill_lender(first_lender);
  const std::uint64_t gone = before - away->counts().away;
  EXPECT_GT(gone, 0U);
  EXPECT_LE(gone, 96U);
  expect_sound();
  EXPECT_EQ(count_lost(task, first_lender), gone);
  EXPECT_EQ(count_lost(task, first_lender), gone) << "they stay lost";
  EXPECT_EQ(away->counts().lost, gone);
  // A new life of the lender knows nothing of them; new memory is as ever.
  start_lender(first_lender);
  task.unmap();
  task.map(too_many);
  fill(task, 5000);
  expect_all(task, 5000);
}

TEST_F(AwayPagesTest, ALenderThatAsksGetsItsFramesAndNothingIsLost) {
  start_cells(2, wait_max_ns);
  Memory task(*this, too_many);
  fill(task);
  const CellId asks = lent_by(first_lender) > 0 ? first_lender : second_lender;
  const CellId other = asks == first_lender ? second_lender : first_lender;
  EXPECT_TRUE(doors->home(asks).recall_lent());
  EXPECT_EQ(lent_by(asks), 0U);
  EXPECT_GT(lent_by(other), 0U) << "the node is full";
  EXPECT_EQ(away->counts().lost, 0U);
  expect_sound();
  expect_all(task);
}

TEST_F(AwayPagesTest, WhatIsAskedForComesHomeWhereThereIsRoom) {
  start_cells(1, wait_max_ns);
  Memory task(*this, pages);
  fill(task);
  Memory other(*this, 100, 8);
  fill(other, 7000);
  EXPECT_GT(away->counts().away, 0U) << "of what was there first";
  other.unmap();
  EXPECT_TRUE(doors->home(first_lender).recall_lent());
  EXPECT_EQ(lent_by(first_lender), 0U);
  EXPECT_EQ(away->counts().away, 0U);
  EXPECT_EQ(away->counts().lost, 0U);
  expect_all(task);
}

TEST_F(AwayPagesTest, WhatIsTakenByForceIsLost) {
  start_cells(1, 1);
  Memory task(*this, too_many);
  fill(task);
  hears_recall = false;
  EXPECT_TRUE(doors->home(first_lender).recall_lent());
  EXPECT_EQ(lent_by(first_lender), 0U);
  const std::uint64_t lost = count_lost(task, first_lender);
  EXPECT_GE(lost, too_many - pages);
  EXPECT_LT(lost, too_many);
  expect_sound();
}

TEST_F(AwayPagesTest, ALenderThatDiesDuringAMoveCostsNothingThatIsStillHere) {
  start_cells(1);
  Memory task(*this, too_many);
  for (std::uint64_t p = 0; p < pages; ++p) ASSERT_TRUE(task.store(p, 1000 + p));
  // The first page that moves is read just now.
  node.on_read([this] { kill_lender(first_lender); });
  EXPECT_EQ(code_of(task.store(pages, 1)), Code::exhausted);
  EXPECT_EQ(away->counts().lost, 0U);
  for (std::uint64_t p = 0; p < pages; ++p) EXPECT_EQ(*task.load(p), 1000 + p);
}

TEST_F(AwayPagesTest, ATaskThatIsSlowToShowAPageIsNotGivenAnotherOne) {
  start_cells(1, wait_max_ns);
  Memory slow(*this, 16);
  ASSERT_TRUE(*slow.begin_touch(0));
  {
    Memory other(*this, pages, 8);
    fill(other);
    ASSERT_GT(away->counts().moved_away, 0U) << "what was brought in first";
    other.unmap();
  }
  Memory next(*this, 40, 9);  // in the frames that the slow one shows
  fill(next, 4000);
  EXPECT_TRUE(doors->home(first_lender).recall_lent());
  EXPECT_EQ(away->counts().away, 0U);
  (void)slow.end_touch(0);
  for (std::uint64_t p = 0; p < 16; ++p) EXPECT_FALSE(slow.is_there(p)) << p;
  fill(slow, 9000);
  expect_all(slow, 9000);
  expect_all(next, 4000);
}

TEST_F(AwayPagesTest, ATaskMayDieWhileItsMemoryMoves) {
  start_cells(1);
  Memory dies(*this, pages, 8);
  fill(dies);
  Memory task(*this, 40);
  node.on_read([&] { dies.die(); });
  fill(task, 2000);
  expect_all(task, 2000);
  while (home->needs_clean_up()) home->clean_up();
  EXPECT_EQ(away->counts().away, 0U);
  expect_sound();
}

// What a page must not be copied without: stores in the middle of the copy, and loads after it.
class AwayDamage : public AwayPagesTest {
 protected:
  // Calls somebody before each store to a borrowed frame.
  class Hooked final : public AwayFrames {
   public:
    explicit Hooked(AwayFrames& frames) : frames_(frames) {}
    void use_owner(FrameReclaimer* owner) override { frames_.use_owner(owner); }
    std::vector<std::uint32_t> take_borrowed(std::uint32_t frames_max) override {
      return frames_.take_borrowed(frames_max);
    }
    bool borrow_more() override { return frames_.borrow_more(); }
    bool is_lost(std::uint32_t frame) const override { return frames_.is_lost(frame); }
    FramePlace place_of(std::uint32_t frame) const override { return frames_.place_of(frame); }
    std::uint64_t taken() const override { return frames_.taken(); }
    void give_back_frames(std::span<const std::uint32_t> frames) override {
      frames_.give_back_frames(frames);
    }
    Result<void> read_frames(std::uint64_t offset, std::span<std::byte> out) override {
      return frames_.read_frames(offset, out);
    }
    Result<void> write_frames(std::uint64_t offset, std::span<const std::byte> bytes) override {
      if (hook) hook();
      return frames_.write_frames(offset, bytes);
    }
    std::function<void()> hook;

   private:
    AwayFrames& frames_;
  };
  void TearDown() override {
    AwayPagesTest::TearDown();
    hooked.reset();
  }

  // True: a store got lost, or a load saw what is not there any more.
  bool is_damaged(AwayRules rules) {
    start_cells(1);
    away.reset();
    hooked = std::make_unique<Hooked>(*borrowed);
    away = std::make_unique<AwayPages>(*home, *hooked, rules);
    Memory task(*this, too_many);
    for (std::uint64_t p = 0; p < pages; ++p) EXPECT_TRUE(task.store(p, 1000 + p));
    bool stored = false;
    // To a page that was read, and has not left yet.
    hooked->hook = [&] {
      stored = stored || task.client().space->store_at(task.at(0), 77);
    };
    // All that the frames which it leaves can hold.
    for (std::uint64_t p = pages; p < pages + 16; ++p) EXPECT_TRUE(task.store(p, 1000 + p));
    const auto value = task.load(0);
    EXPECT_TRUE(value);
    return *value != (stored ? 77U : 1000U);
  }

  std::unique_ptr<Hooked> hooked;
};

TEST_F(AwayDamage, NoStoreIsLostAndNoLoadSeesWhatHasLeft) { EXPECT_FALSE(is_damaged({})); }

TEST_F(AwayDamage, IsSeenWhenPagesAreCopiedWhileTheyAreOpen) {
  EXPECT_TRUE(is_damaged({.skip_closing = true}));
}

TEST_F(AwayDamage, IsSeenWhenFramesServeOthersWhileTheirTaskHasThem) {
  EXPECT_TRUE(is_damaged({.skip_punch = true}));
}

}  // namespace
}  // namespace hive::cell::test
