// What frames are used for: the books of a memory home, and what others see of them.

#include <gtest/gtest.h>

#include "cell/frames/frame_table.h"
#include "home_fixture.h"

namespace hive::cell::test {
namespace {

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
}

TEST_F(FrameTableTest, AHeapWithoutRoomIsAnError) {
  HeapMemory small{std::size_t{1} << 12};
  EXPECT_EQ(FrameTable::create(small.heap(), frames * 8).error().code, Code::exhausted);
}

}  // namespace
}  // namespace hive::cell::test
