// Lenders that die, and lenders that take back what nobody gave them.

#include "borrow_fixture.h"

namespace hive::cell::test {
namespace {

constexpr std::uint32_t frames = 128;
constexpr std::uint32_t too_many = 192;
constexpr std::uint32_t few = 32;

class LossTest : public BorrowTest {
 protected:
  // One page of the file is dirty, in a frame of that lender. None: no page is there.
  std::optional<std::uint32_t> make_dirty_at(FileContent& content, FileNumber number,
                                             CellId lender) {
    for (std::uint32_t p = 0; p < too_many; ++p) {
      const auto found = find_page(number, p);
      if (!found || found->memory_home != lender) continue;
      EXPECT_TRUE(write_all(content, p * page, pattern(page, 99)));
      return p;
    }
    return std::nullopt;
  }
  // A segment has all frames of the node, so the pages of the file come into borrowed ones.
  ContentRef fill_without_own_frames(FileNumber number) {
    const Bytes bytes = pattern(few * page, static_cast<unsigned>(number));
    const auto content = open(number);
    EXPECT_TRUE(write_all(*content, 0, bytes));
    EXPECT_TRUE(content->flush());
    const auto made = make_segment("all", frames);
    EXPECT_TRUE(made);
    if (made) segment = made->id;
    EXPECT_EQ(read_all(*content, 0, few * page), bytes);
    return content;
  }
  void give_segment_back() const {
    EXPECT_TRUE(home->destroy_segment(client, segment));
    EXPECT_TRUE(home->close_segment(client, segment));
    while (home->needs_clean_up()) home->clean_up();
  }

  SegmentId segment = 0;
};

TEST_F(LossTest, ADeadLenderCostsThePagesInItsFramesAndNoOthers) {
  start_cells(frames, 2);
  const auto content = read_until_it_fits(7, too_many);
  const std::uint64_t before = cache->counts().pages;
  const std::uint64_t at_lender = borrowed_pages(7, too_many, first_lender);
  const std::uint64_t at_other = borrowed_pages(7, too_many, second_lender);
  ASSERT_GT(at_lender + at_other, 0U);
  const CellId dies = at_lender > 0 ? first_lender : second_lender;
  kill_lender(dies);
  EXPECT_EQ(cache->counts().pages, before - (at_lender > 0 ? at_lender : at_other));
  EXPECT_EQ(borrowed_pages(7, too_many, dies), 0U);
  EXPECT_TRUE(lost.empty()) << "they were clean";
  expect_sound();
  EXPECT_EQ(read_all(*content, 0, too_many * page), pattern(too_many * page, 7));
}

TEST_F(LossTest, WhatIsWrittenLeavesItsBorrowedFrameSoThatADeadLenderCostsNothing) {
  start_cells(frames, 1);
  const auto content = read_until_it_fits(7, too_many);
  const auto dirty = make_dirty_at(*content, 7, first_lender);
  ASSERT_TRUE(dirty);
  kill_lender(first_lender);
  EXPECT_FALSE(is_lost(7));
  EXPECT_EQ(read_all(*content, *dirty * page, page), pattern(page, 99));
}

// Where the cache has no frame of the node, what is dirty is in borrowed ones.
TEST_F(LossTest, ADirtyPageInAFrameOfADeadLenderIsALossOfItsFile) {
  start_cells(frames, 1);
  const auto other = open(8);
  ASSERT_TRUE(write_all(*other, 0, pattern(page, 1)));
  ASSERT_TRUE(other->flush());
  const auto content = fill_without_own_frames(7);
  const auto dirty = make_dirty_at(*content, 7, first_lender);
  ASSERT_TRUE(dirty);
  kill_lender(first_lender);
  EXPECT_TRUE(is_lost(7));
  EXPECT_FALSE(is_lost(8));
  // What was on the disk is there.
  give_segment_back();
  EXPECT_EQ(read_all(*content, *dirty * page, page), part(pattern(few * page, 7),
                                                          *dirty * page, page));
  EXPECT_EQ(read_all(*other, 0, page), pattern(page, 1));
  EXPECT_EQ(borrowed->counts().borrowed, 0U);
}

TEST_F(LossTest, WhatWasFlushedIsNoLoss) {
  start_cells(frames, 1);
  const auto content = read_until_it_fits(7, too_many);
  const auto dirty = make_dirty_at(*content, 7, first_lender);
  ASSERT_TRUE(dirty);
  ASSERT_TRUE(content->flush());
  kill_lender(first_lender);
  EXPECT_FALSE(is_lost(7));
  EXPECT_EQ(read_all(*content, *dirty * page, page), pattern(page, 99));
}

TEST_F(LossTest, ALenderThatComesBackLendsAgainAndOldFramesAreForgotten) {
  start_cells(frames, 1);
  const auto content = read_until_it_fits(7, too_many);
  kill_lender(first_lender);
  start_lender(first_lender);
  EXPECT_TRUE(wait_for([&] {
    EXPECT_EQ(read_all(*content, 0, too_many * page), pattern(too_many * page, 7));
    return HasFailure() || borrowed_pages(7, too_many) > 0;
  }));
  EXPECT_EQ(borrowed->counts().borrowed, lent_by(first_lender));
}

TEST_F(LossTest, FramesThatAreTakenBackUnaskedAreLostToo) {
  start_cells(frames, 1, 1);
  const auto content = fill_without_own_frames(7);
  const auto dirty = make_dirty_at(*content, 7, first_lender);
  ASSERT_TRUE(dirty);
  hears_recall = false;
  EXPECT_TRUE(doors->home(first_lender).recall_lent());
  EXPECT_EQ(lent_by(first_lender), 0U);
  give_segment_back();
  const Bytes seen = read_all(*content, 0, few * page);
  EXPECT_EQ(seen, pattern(few * page, 7)) << "as on the disk";
  EXPECT_TRUE(is_lost(7));
  EXPECT_GT(borrowed->counts().lost, 0U);
  expect_sound();
}

TEST_F(LossTest, FramesThatAreLentAnewToTheSameCellAreNotTakenForTheOldOnes) {
  start_cells(frames, 1, 1);
  const auto content = read_until_it_fits(7, too_many);
  hears_recall = false;
  EXPECT_TRUE(doors->home(first_lender).recall_lent());
  Home& lender = doors->home(first_lender);
  lender.clean_up();
  const std::uint64_t lost_before = borrowed->counts().lost;
  // Nobody has noticed yet. These are the same frames again.
  EXPECT_TRUE(wait_for([&] { return borrowed->borrow(64).has_value(); }));
  EXPECT_GT(borrowed->counts().lost, lost_before);
  EXPECT_EQ(read_all(*content, 0, too_many * page), pattern(too_many * page, 7));
  expect_sound();
}

TEST_F(LossTest, ALenderMayDieWhileItIsAsked) {
  start_cells(frames, 1);
  for (int i = 0; i < 20; ++i) {
    std::thread killer([this] { kill_lender(first_lender); });
    (void)borrowed->borrow(64);
    killer.join();
    EXPECT_TRUE(wait_for([&] { return borrowed->counts().borrowed == 0; }));
    start_lender(first_lender);
  }
}

}  // namespace
}  // namespace hive::cell::test
