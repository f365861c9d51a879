// Segments that are rolled back: what a window leaves uncommitted is as if it had never been.

#include <atomic>
#include <thread>

#include "home_fixture.h"

namespace hive::cell::test {
namespace {

class RollbackTest : public HomeTest {
 protected:
  SegmentView make_rollback(const TestClient& client, std::uint32_t count) {
    return make(client, "rolled-back", count, true, true);
  }
  void commit_values(const TestClient& client, const SegmentView& s, std::uint64_t value) {
    const auto window = open(client, s, 0, s.pages.count);
    ASSERT_TRUE(window) << window.error().message();
    for (std::uint32_t p = s.pages.first; p < s.pages.end(); ++p) {
      ASSERT_TRUE(client.space->store(p, value));
    }
    ASSERT_TRUE(home->commit_window(client.id, *window));
  }
  void expect_values(const TestClient& client, const SegmentView& s, std::uint64_t value) {
    ASSERT_EQ(code_of(home->give(client.id, s.id, 0, s.pages.count)), std::nullopt);
    for (std::uint32_t p = s.pages.first; p < s.pages.end(); ++p) {
      EXPECT_EQ(client.space->load(p), value) << "page " << p;
    }
  }
};

TEST_F(RollbackTest, WhatADeadWriterLeftIsAsItWasCommittedLast) {
  const TestClient reader = attach(0, 1);
  const TestClient writer = attach(2, 2);
  const SegmentView s = make_rollback(reader, 20);
  ASSERT_TRUE(home->open_segment(writer.id, "rolled-back"));
  commit_values(writer, s, 11);
  const auto window = open(writer, s, 3, 4);
  ASSERT_TRUE(window);
  ASSERT_TRUE(writer.space->store(s.pages.first + 3, 99));
  kill(writer);
  expect_values(reader, s, 11);
  EXPECT_EQ(home->root()->pages_torn.load(), 0U);
}

TEST_F(RollbackTest, AnAbortedWindowIsRolledBackToo) {
  const TestClient writer = attach();
  const SegmentView s = make_rollback(writer, 4);
  commit_values(writer, s, 5);
  const auto window = open(writer, s, 0, 2);
  ASSERT_TRUE(window);
  ASSERT_TRUE(writer.space->store(s.pages.first, 6));
  ASSERT_TRUE(home->abort_window(writer.id, *window));
  expect_values(writer, s, 5);
  EXPECT_TRUE(open(writer, s, 0, 4));  // and can be written again at once
}

TEST_F(RollbackTest, TheDeathOfACellRollsAllItsWindowsBack) {
  const TestClient reader = attach(0, 1);
  const SegmentView s = make_rollback(reader, 12);
  commit_values(reader, s, 8);
  for (std::uint32_t i = 0; i < 3; ++i) {
    const TestClient writer = attach(2, 10 + i);
    ASSERT_TRUE(home->open_segment(writer.id, "rolled-back"));
    ASSERT_TRUE(open(writer, s, 4 * i, 4));
    ASSERT_TRUE(writer.space->store(s.pages.first + 4 * i + 1, 77));
    writer.space->die();
  }
  home->on_cell_down(2);
  expect_values(reader, s, 8);
}

TEST_F(RollbackTest, WhoComesInTheMiddleIsToldBusyAndNeverSeesZeros) {
  const TestClient reader = attach(0, 1);
  const TestClient writer = attach(2, 2);
  const SegmentView s = make_rollback(reader, 2);
  ASSERT_TRUE(home->open_segment(writer.id, "rolled-back"));
  commit_values(writer, s, 3);
  ASSERT_TRUE(open(writer, s, 0, 2));
  std::optional<Code> seen;
  node.on_take_back([&] { seen = code_of(load_fault(reader, s.pages.first)); });
  kill(writer);
  EXPECT_EQ(seen, Code::busy);
  expect_values(reader, s, 3);
}

TEST_F(RollbackTest, WithoutMemoryForItTheRangeIsTorn) {
  const TestClient reader = attach(0, 1);
  const TestClient writer = attach(2, 2);
  const SegmentView s = make_rollback(reader, 2);
  ASSERT_TRUE(home->open_segment(writer.id, "rolled-back"));
  commit_values(writer, s, 3);
  ASSERT_TRUE(open(writer, s, 0, 1));
  node.refuse_refill(true);
  kill(writer);
  node.refuse_refill(false);
  EXPECT_EQ(code_of(load_fault(reader, s.pages.first)), Code::lost);
  ASSERT_TRUE(reset(reader, s, 0, 2));
  EXPECT_TRUE(load_fault(reader, s.pages.first));
}

TEST_F(RollbackTest, SharedWindowsAreRefused) {
  const TestClient writer = attach();
  const SegmentView s = make_rollback(writer, 2);
  EXPECT_EQ(code_of(open(writer, s, 0, 1, WindowMode::shared)), Code::bad_argument);
}

TEST_F(RollbackTest, ASegmentThatGoesWithItsLastWriterLeavesUsableMemory) {
  const TestClient writer = attach(2, 2);
  const SegmentView s = make(writer, "short", pages, false, true);
  ASSERT_TRUE(open(writer, s, 0, 8));
  kill(writer);
  const TestClient other = attach(0, 1);
  const SegmentView again = make(other, "again", pages);
  ASSERT_TRUE(home->give(other.id, again.id, 0, pages));
  for (std::uint32_t p = 0; p < pages; ++p) EXPECT_EQ(other.space->load(p), 0U);
}

// Writers that die at random moments against readers who check all the time.
TEST_F(RollbackTest, ReadersOnlyEverSeeCommittedContent) {
  const TestClient reader = attach(0, 1);
  const SegmentView s = make_rollback(reader, 6);
  commit_values(reader, s, 1);
  std::atomic<std::uint64_t> committed{1};
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> looks{0};
  std::thread writers([&] {
    // On a busy host the reader may get no processor for the first hundreds of rounds.
    for (std::uint64_t round = 2; round < 400 || (looks.load() == 0 && round < 400'000); ++round) {
      const TestClient writer = attach(2, round);
      ASSERT_TRUE(home->open_segment(writer.id, "rolled-back"));
      auto window = open(writer, s, 0, 6);
      while (!window && window.error().code == Code::busy) window = open(writer, s, 0, 6);
      ASSERT_TRUE(window) << window.error().message();
      for (std::uint32_t i = 0; i < 1 + round % 6; ++i)
        writer.space->store(s.pages.first + i, round);
      if (round % 6 == 5 && round % 4 == 1) {  // all six pages were written
        ASSERT_TRUE(home->commit_window(writer.id, *window));
        committed.store(round);
      }
      kill(writer);
    }
    over.store(true);
  });
  while (!over.load()) {
    // With an exclusive window nobody else is in the middle of anything.
    const auto window = open(reader, s, 0, 6);
    if (!window) {
      ASSERT_EQ(window.error().code, Code::busy);
      continue;
    }
    const std::uint64_t expected = committed.load();
    for (std::uint32_t p = s.pages.first; p < s.pages.end(); ++p) {
      ASSERT_EQ(reader.space->load(p), expected);
    }
    ++looks;
    ASSERT_TRUE(home->commit_window(reader.id, *window));
  }
  writers.join();
  EXPECT_GT(looks.load(), 0U);
}

}  // namespace
}  // namespace hive::cell::test
