// A page cache that borrows: when it does, what it can do with borrowed frames, and how they go.

#include "borrow_fixture.h"

namespace hive::cell::test {
namespace {

constexpr std::uint32_t frames = 128;
constexpr std::uint32_t too_many = 192;  // pages: one and a half times the node

class BorrowingTest : public BorrowTest {
 protected:
  bool is_borrowed(FileNumber file, std::uint32_t number) {
    const auto place = find_page(file, number);
    return place && place->memory_home != self;
  }
};

TEST_F(BorrowingTest, AWorkingSetThatDoesNotFitTheNodeIsCachedInBorrowedFrames) {
  start_cells(frames, 2);
  const auto content = read_until_it_fits(7, too_many);
  EXPECT_GE(borrowed_pages(7, too_many), too_many - frames);
  EXPECT_EQ(borrowed->counts().borrowed, lent_by(first_lender) + lent_by(second_lender));
  expect_sound();
  const std::uint64_t misses = cache->counts().misses;
  EXPECT_EQ(read_all(*content, 0, too_many * page), pattern(too_many * page, 7));
  EXPECT_EQ(cache->counts().misses, misses) << "all of it is there";
}

TEST_F(BorrowingTest, WhatIsReadOnceIsNoReasonToBorrow) {
  start_cells(frames, 1);
  read_others(8 * frames);
  EXPECT_EQ(borrowed->counts().loans, 0U);
}

TEST_F(BorrowingTest, APageInABorrowedFrameIsWrittenAndFlushedLikeAnyOther) {
  start_cells(frames, 1);
  const auto content = read_until_it_fits(7, too_many);
  const Bytes other = pattern(too_many * page, 8);
  ASSERT_TRUE(write_all(*content, 0, other));
  EXPECT_EQ(read_all(*content, 0, too_many * page), other);
  ASSERT_TRUE(content->flush());
  EXPECT_EQ(disk(7)->synced(), other);
}

TEST_F(BorrowingTest, WhereSegmentsHaveTheNodeAWriteGetsBorrowedFramesThoughTheDiskFails) {
  start_cells(frames, 1);
  ASSERT_TRUE(make_segment("all", frames));
  const auto content = open(7);
  disk(7)->refuse(DiskCall::pwrite, EIO);
  const Bytes bytes = pattern(32 * page, 7);
  for (std::uint32_t p = 0; p < 32; p += 4) {
    EXPECT_TRUE(write_all(*content, p * page, part(bytes, p * page, 4 * page))) << p;
  }
  EXPECT_EQ(read_all(*content, 0, 32 * page), bytes);
  EXPECT_EQ(borrowed_pages(7, 32), 32U);
  disk(7)->refuse_nothing();
}

TEST_F(BorrowingTest, WhenAllElseIsFullAReadGetsBorrowedFramesAndElseAnError) {
  start_cells(frames, 0);
  ASSERT_TRUE(make_segment("all", frames));
  disk(7);
  const auto content = open(7);
  ASSERT_TRUE(content->truncate(4 * page));
  std::array<std::byte, 16> bytes{};
  EXPECT_EQ(errno_of(content->read(0, bytes)), ENOMEM);
  start_lender(first_lender);
  EXPECT_TRUE(content->read(0, bytes));
  EXPECT_EQ(borrowed_pages(7, 1), 1U);
}

TEST_F(BorrowingTest, ALenderThatAsksGetsItsFramesBackAndNothingIsLost) {
  start_cells(frames, 1, 3600 * ns_per_s);
  const auto content = read_until_it_fits(7, too_many);
  const Bytes other = pattern(too_many * page, 8);
  ASSERT_TRUE(write_all(*content, 0, other));  // dirty
  Home& lender = doors->home(first_lender);
  const auto of_lender = *lender.add_client({.task = 9, .cell = 0}, std::make_shared<NoSpace>());
  ASSERT_TRUE(lender.create_segment(of_lender, "all", frames * page, false));
  EXPECT_EQ(lent_by(first_lender), 0U);
  EXPECT_TRUE(wait_for([&] { return borrowed->counts().borrowed == 0; }));
  EXPECT_EQ(read_all(*content, 0, too_many * page), other);
  EXPECT_EQ(borrowed->counts().lost, 0U);
  EXPECT_TRUE(lost.empty());
  expect_sound();
}

TEST_F(BorrowingTest, FramesThatNobodyUsesGoBack) {
  start_cells(frames, 1, recall_max_ns, 0);
  const auto content = read_until_it_fits(7, too_many);
  EXPECT_TRUE(wait_for([&] {
    borrowed->on_tick();
    return lent_by(first_lender) == 0;
  }));
  EXPECT_TRUE(wait_for([&] { return borrowed->counts().borrowed == 0; }));
  EXPECT_EQ(read_all(*content, 0, too_many * page), pattern(too_many * page, 7));
}

TEST_F(BorrowingTest, APageThatIsToBeMappedComesIntoAFrameOfTheNode) {
  start_cells(frames, 2);
  const auto content = read_until_it_fits(7, too_many);
  std::uint32_t moved = 0;
  for (std::uint32_t p = 0; p < too_many; ++p) {
    if (!is_borrowed(7, p)) continue;
    ++moved;
    const auto held = content->hold(p, p, 1);
    ASSERT_TRUE(held) << held.error().message();
    ASSERT_EQ(held->size(), 1U);
    EXPECT_EQ(held->front().page, p);
    ASSERT_LT(held->front().frame, frames);
    Bytes bytes(page);
    ASSERT_TRUE(memory->read(held->front().frame * page, bytes));
    EXPECT_EQ(bytes, part(pattern(too_many * page, 7), p * page, page));
    EXPECT_TRUE(home->check_cached(*held, 0, true)) << "its home knows what it holds";
    EXPECT_FALSE(is_borrowed(7, p));
  }
  EXPECT_GT(moved, 0U);
  expect_sound();
}

TEST_F(BorrowingTest, APageThatIsToBeMappedIsWrittenBackFirstAndElseStaysWhereItIs) {
  start_cells(frames, 1);
  const auto content = open(7);
  ASSERT_TRUE(content->truncate(4 * page));
  const auto segment = make_segment("all", frames);
  ASSERT_TRUE(segment);
  ASSERT_TRUE(write_all(*content, page, pattern(page, 9)));
  ASSERT_TRUE(is_borrowed(7, 1));
  disk(7)->refuse(DiskCall::pwrite, EIO);
  EXPECT_EQ(errno_of(content->hold(1, 0, 4)), EIO);
  EXPECT_EQ(read_all(*content, page, page), pattern(page, 9));
  disk(7)->refuse_nothing();
  EXPECT_EQ(errno_of(content->hold(1, 0, 4)), ENOMEM) << "segments have all of the node";
  EXPECT_EQ(part(disk(7)->written(), page, page), pattern(page, 9));
  ASSERT_TRUE(home->close_segment(client, segment->id));
  const auto held = content->hold(1, 0, 4);
  ASSERT_TRUE(held) << held.error().message();
  Bytes bytes(page);
  for (const HeldFrame& h : *held) {
    ASSERT_LT(h.frame, frames);
    ASSERT_TRUE(memory->read(h.frame * page, bytes));
    EXPECT_EQ(bytes, h.page == 1 ? pattern(page, 9) : Bytes(page));
  }
}

TEST_F(BorrowingTest, AFileThatGoesTakesItsBorrowedFramesAlong) {
  start_cells(frames, 1);
  auto content = read_until_it_fits(7, too_many);
  ASSERT_TRUE(content->truncate(0));
  borrowed->return_spare();
  EXPECT_TRUE(wait_for([&] { return lent_by(first_lender) == 0; }));
  // It is told after that.
  EXPECT_TRUE(wait_for([&] { return borrowed->counts().borrowed == 0; }));
}

TEST_F(BorrowingTest, ALoanWhoseAnswerIsLostIsEndedSoon) {
  start_cells(frames, 1);
  doors->drop(Question::ask, 1, true);
  EXPECT_FALSE(borrowed->borrow(32));
  EXPECT_EQ(lent_by(first_lender), 32U);
  EXPECT_EQ(borrowed->counts().borrowed, 0U);
  EXPECT_TRUE(wait_for([&] {
    borrowed->on_tick();
    return lent_by(first_lender) == 0;
  }));
  EXPECT_TRUE(wait_for([&] { return borrowed->borrow(32).has_value(); }));
  EXPECT_EQ(lent_by(first_lender), 32U);
}

TEST_F(BorrowingTest, AReturnWhoseAnswerIsLostIsRepeated) {
  start_cells(frames, 1);
  for (const bool heard : {true, false}) {
    ASSERT_TRUE(wait_for([&] { return borrowed->borrow(32).has_value(); }));
    doors->drop(Question::give_back, 1, heard);
    borrowed->return_spare();
    EXPECT_EQ(borrowed->counts().borrowed, 32U);
    EXPECT_TRUE(wait_for([&] {
      borrowed->on_tick();
      return borrowed->counts().borrowed == 0;
    }));
    EXPECT_EQ(lent_by(first_lender), 0U);
  }
}

TEST_F(BorrowingTest, AFrameThatCanNotHoldAPageGoesBackAndThePageIsRight) {
  start_cells(frames, 1);
  ASSERT_TRUE(make_segment("all", frames));
  ASSERT_TRUE(borrowed->borrow(32));
  for (const bool heard : {true, false}) {
    const FileNumber number = heard ? 7 : 8;
    const auto content = open(number);
    ASSERT_TRUE(content->truncate(4 * page));
    doors->drop(Question::hold, 1, heard);
    EXPECT_EQ(read_all(*content, 0, page), Bytes(page));
    const Bytes bytes = pattern(page, 5);
    doors->drop(Question::hold, 1, heard);
    ASSERT_TRUE(write_all(*content, page, bytes));
    EXPECT_EQ(read_all(*content, page, page), bytes);
    ASSERT_TRUE(content->flush());
  }
  EXPECT_TRUE(lost.empty());
}

TEST_F(BorrowingTest, AFrameWhoseLossWasNotHeardIsNotUsedAgain) {
  start_cells(frames, 1);
  const auto content = read_until_it_fits(7, too_many);
  doors->drop(Question::lose, 1000, false);
  doors->drop(Question::renew, 1000, false);
  const std::uint64_t before = borrowed->counts().borrowed;
  read_others(2 * frames);
  doors->drop(Question::lose, 0, false);
  doors->drop(Question::renew, 0, false);
  EXPECT_TRUE(wait_for([&] { return borrowed->counts().borrowed < before; }));
  EXPECT_EQ(read_all(*content, 0, too_many * page), pattern(too_many * page, 7));
}

TEST_F(BorrowingTest, APageThatLinuxHasReclaimedIsOpenedAgain) {
  start_cells(frames, 1);
  const auto content = read_until_it_fits(7, too_many);
  doors->node(first_lender).set_open({0, frames}, false);
  EXPECT_EQ(read_all(*content, 0, too_many * page), pattern(too_many * page, 7));
  EXPECT_EQ(borrowed->counts().lost, 0U);
}

}  // namespace
}  // namespace hive::cell::test
