// What frames are used for: the books of a memory home, and what others see of them.

#include <gtest/gtest.h>

#include "cell/frames/frame_table.h"
#include "home_fixture.h"

namespace hive::cell::test {
namespace {

using machine::PageRange;

constexpr std::uint32_t frames = 64;

class FrameTableTest : public ::testing::Test {
 protected:
  std::uint64_t sequence(std::uint32_t page) const {
    return table.published().at(page).sequence.load();
  }
  void expect_sound() const {
    const auto sound = table.check();
    EXPECT_TRUE(sound) << sound.error().message();
  }

  HeapMemory memory{std::size_t{1} << 16};
  FrameTable table = *FrameTable::create(memory.heap(), frames);
};

TEST_F(FrameTableTest, TheStatesAddUpWhateverIsDone) {
  EXPECT_EQ(table.count(FrameState::free), frames);
  const auto segment = table.allocate(10, FrameState::segment);
  const auto lock = table.allocate(1, FrameState::lock);
  ASSERT_TRUE(segment && lock);
  table.set_owner(*segment, 7);
  expect_sound();
  EXPECT_EQ(table.count(FrameState::free), frames - 11);
  EXPECT_TRUE(table.all(*segment, FrameState::segment, 7));
  EXPECT_FALSE(table.all({segment->first, 11}, FrameState::segment, 7));
  EXPECT_FALSE(table.allocate(frames - 10, FrameState::segment)) << "no run is that long";
  table.begin_cleaning({segment->first, 4});
  table.free_untouched({segment->first + 4, 6});
  expect_sound();
  EXPECT_EQ(table.count(FrameState::cleaning), 4U);
  table.end_cleaning({segment->first, 4});
  table.free_untouched(*lock);
  expect_sound();
  EXPECT_EQ(table.count(FrameState::free), frames);
  EXPECT_TRUE(table.allocate(frames, FrameState::segment)) << "it is one run again";
}

TEST_F(FrameTableTest, AReaderSeesThatAFrameHasChangedHands) {
  const auto range = *table.allocate(2, FrameState::segment);
  table.set_owner(range, 1);
  const std::uint64_t before = sequence(0);
  EXPECT_EQ(before % 2, 0U);
  table.begin_cleaning(range);
  EXPECT_EQ(sequence(0) % 2, 1U) << "nobody's";
  table.end_cleaning(range);
  ASSERT_EQ(table.allocate(2, FrameState::segment)->first, range.first);
  EXPECT_EQ(sequence(0) % 2, 0U);
  EXPECT_NE(sequence(0), before);
}

TEST_F(FrameTableTest, WhatIsLostIsNobodysUntilItIsThereAgain) {
  const auto range = *table.allocate(2, FrameState::segment);
  const std::uint64_t before = sequence(0);
  table.lose({0, 1});
  table.lose({0, 1});
  EXPECT_EQ(sequence(0), before + 1);
  EXPECT_EQ(sequence(1), before) << "it was not lost";
  table.regain({0, 1});
  table.regain({0, 1});
  EXPECT_EQ(sequence(0), before + 2);
  table.lose(range);
  table.begin_cleaning(range);
  table.end_cleaning(range);
  expect_sound();
}

TEST_F(FrameTableTest, AFrameThatGoesFromPageToPageHasANewNumberForEach) {
  const auto taken = table.take_cached(3, {});
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->end(), frames) << "from the end, so that segments find long runs";
  EXPECT_EQ(sequence(taken->first) % 2, 1U) << "it holds nothing yet";
  expect_sound();
  const std::uint64_t first = table.hold(taken->first, 7, 100);
  EXPECT_EQ(first, sequence(taken->first));
  EXPECT_TRUE(table.holds(taken->first, 7, 100, first));
  expect_sound();
  table.lose({taken->first, 1});
  EXPECT_FALSE(table.holds(taken->first, 7, 100, first));
  expect_sound();
  const std::uint64_t second = table.hold(taken->first, 7, 101);
  EXPECT_EQ(second, first + 2);
  EXPECT_FALSE(table.holds(taken->first, 7, 100, first));
  table.begin_cleaning({taken->first, 1});
  expect_sound();
  table.end_cleaning({taken->first, 1});
  table.begin_cleaning({taken->first + 1, 2});
  table.end_cleaning({taken->first + 1, 2});
  expect_sound();
  EXPECT_EQ(table.count(FrameState::free), frames);
}

TEST_F(FrameTableTest, TheCacheGetsNothingOfWhatIsKeptFromIt) {
  const PageRange kept{20, frames - 30};
  const auto behind = table.take_cached(20, kept);
  ASSERT_TRUE(behind);
  EXPECT_EQ(*behind, (PageRange{frames - 10, 10}));
  const auto before = table.take_cached(30, kept);
  ASSERT_TRUE(before);
  EXPECT_EQ(*before, (PageRange{0, 20}));
  EXPECT_FALSE(table.take_cached(1, kept));
  EXPECT_EQ(table.allocate(kept.count, FrameState::segment), kept) << "a segment does";
  expect_sound();
}

TEST_F(FrameTableTest, TheCheapestRunHasTheFewestCachedFrames) {
  const auto segment = table.allocate(10, FrameState::segment);
  const auto cached = table.take_cached(frames - 20, {});  // leaves ten free ones
  ASSERT_TRUE(segment && cached);
  EXPECT_EQ(table.cheapest_run(10), (PageRange{10, 10}));
  EXPECT_EQ(table.cheapest_run(12), (PageRange{10, 12})) << "two of them are cached";
  EXPECT_EQ(table.cheapest_run(frames - 10), (PageRange{10, frames - 10}));
  EXPECT_FALSE(table.cheapest_run(frames - 9)) << "not through a segment";
  EXPECT_FALSE(table.cheapest_run(frames + 1));
}

TEST_F(FrameTableTest, BooksThatDoNotAddUpAreFound) {
  const auto range = *table.allocate(2, FrameState::segment);
  auto& frame = const_cast<Pfdat&>(table.published().at(range.first));
  frame.state.store(FrameState::lock);
  EXPECT_EQ(code_of(table.check()), Code::corrupt);
  frame.state.store(FrameState::segment);
  expect_sound();
  auto& free_frame = const_cast<Pfdat&>(table.published().at(range.end()));
  free_frame.sequence.fetch_add(1);
  EXPECT_EQ(code_of(table.check()), Code::corrupt);
  free_frame.sequence.fetch_add(1);
  free_frame.page.store(1);
  EXPECT_EQ(code_of(table.check()), Code::corrupt) << "a free frame holds no page";
}

TEST_F(FrameTableTest, AHeapWithoutRoomIsAnError) {
  HeapMemory small{std::size_t{1} << 12};
  EXPECT_EQ(FrameTable::create(small.heap(), frames * 8).error().code, Code::exhausted);
}

}  // namespace
}  // namespace hive::cell::test
