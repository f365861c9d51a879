// Segments: made, found, read with care, given up, lost.
#include <hive/hive.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <limits>
#include <vector>

#include <sys/wait.h>

#include "base/time.h"
#include "fake_machine.h"

namespace hive::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();

class SegmentTest : public ::testing::Test {
 protected:
  SegmentTest() : machine(2), session(std::move(*hive::attach({.cell = 0}))) {}
  FakeMachine machine;
  Session session;
};

void fill(Segment& segment, std::uint64_t offset, std::uint64_t length, int byte) {
  auto window = segment.write(offset, length);
  ASSERT_TRUE(window) << window.error().message();
  std::memset(window->data(), byte, length);
  ASSERT_TRUE(window->commit());
}

TEST_F(SegmentTest, IsMadeZeroAndWholePagesOnItsHome) {
  for (const int home : {0, 1}) {
    const std::string name = home == 0 ? "here" : "there";
    auto segment = session.create(name, 5000, {.home = home});
    ASSERT_TRUE(segment) << segment.error().message();
    EXPECT_EQ(segment->home(), home);
    EXPECT_EQ(segment->size(), 8192U);
    EXPECT_EQ(segment->name(), name);
    const auto layout = machine.layout();
    const auto address = reinterpret_cast<std::uint64_t>(segment->data());
    EXPECT_TRUE(layout.in_user(home, address));
    EXPECT_EQ(address % page_size, 0U);
    for (std::uint64_t i = 0; i < segment->size(); ++i) {
      ASSERT_EQ(segment->data()[i], std::byte{0}) << i;  // by faults
    }
  }
}

TEST_F(SegmentTest, ReadCopiesWhatWasCommitted) {
  auto segment = session.create("s", 300'000, {.home = 1});
  ASSERT_TRUE(segment);
  fill(*segment, 1000, 200'000, 7);
  std::vector<std::byte> bytes(segment->size());
  ASSERT_TRUE(segment->read(0, bytes));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    ASSERT_EQ(bytes[i], i >= 1000 && i < 201'000 ? std::byte{7} : std::byte{0}) << i;
  }
  EXPECT_EQ(*segment->read_as<std::uint32_t>(1000), 0x07070707U);
}

TEST_F(SegmentTest, RangesOutsideAreBadArguments) {
  auto segment = session.create("s", 8192);
  ASSERT_TRUE(segment);
  std::vector<std::byte> out(10);
  const auto is_bad = [](const auto& result) {
    return !result && result.error().code == Code::bad_argument;
  };
  EXPECT_TRUE(is_bad(segment->read(8190, out)));
  EXPECT_TRUE(is_bad(segment->read(most, out)));
  EXPECT_TRUE(is_bad(segment->read(most - 4, out)));
  EXPECT_TRUE(is_bad(segment->write(0, 8193)));
  EXPECT_TRUE(is_bad(segment->write(4096, most)));
  EXPECT_TRUE(is_bad(segment->write(most, most)));
  EXPECT_TRUE(is_bad(segment->write(0, 0)));
  EXPECT_TRUE(is_bad(segment->touch(1, 8192)));
  EXPECT_TRUE(is_bad(segment->reset(0, most)));
  EXPECT_TRUE(segment->touch(8192, 0));
  EXPECT_TRUE(segment->read(8192, {}));
  EXPECT_TRUE(segment->reset(5, 0));
}

TEST_F(SegmentTest, NamesAndSizesAreCheckedHereAndThere) {
  const std::string longest(63, 'n');
  EXPECT_TRUE(session.create(longest, 1));
  for (const std::string& name : {std::string(), std::string(64, 'n'), std::string("a/b"),
                                  std::string("a\n"), std::string("a\0b", 3)}) {
    const auto made = session.create(name, 4096);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Code::bad_argument);
    EXPECT_EQ(session.open(name).error().code, Code::bad_argument);
  }
  EXPECT_EQ(session.create("z", 0).error().code, Code::bad_argument);
  EXPECT_EQ(session.create("z", most).error().code, Code::bad_argument);
  EXPECT_EQ(session.create("z", FakeMachine::user_bytes + 1).error().code, Code::bad_argument);
  EXPECT_EQ(session.create("z", 4096, {.home = 2}).error().code, Code::not_found);
  EXPECT_EQ(session.create("z", 4096, {.home = -7}).error().code, Code::not_found);
  const auto all = session.create("z", FakeMachine::user_bytes);  // taken in part by `longest`
  EXPECT_TRUE(all || all.error().code == Code::exhausted);
}

TEST_F(SegmentTest, TheSameNameTwiceExists) {
  auto segment = session.create("s", 4096);
  ASSERT_TRUE(segment);
  EXPECT_EQ(session.create("s", 4096).error().code, Code::exists);
}

TEST_F(SegmentTest, IsFoundWhereverItsHomeIs) {
  EXPECT_EQ(session.open("far").error().code, Code::not_found);
  auto made = session.create("far", 4096, {.home = 1});
  ASSERT_TRUE(made);
  fill(*made, 0, 4, 5);
  auto opened = session.open("far");
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_EQ(opened->home(), 1);
  EXPECT_EQ(opened->data(), made->data());
  { Segment gone = std::move(*made); }
  EXPECT_EQ(*opened->read_as<int>(0), 0x05050505);  // one open still counts
}

TEST_F(SegmentTest, GoesWithItsLastUserUnlessKept) {
  (void)session.create("kept", 4096, {.home = -1, .keep = true});
  (void)session.create("passing", 4096);
  EXPECT_EQ(session.open("passing").error().code, Code::not_found);
  auto kept = session.open("kept");
  ASSERT_TRUE(kept);
  ASSERT_TRUE(kept->destroy());
  EXPECT_EQ(session.open("kept").error().code, Code::not_found);
  EXPECT_TRUE(kept->touch(0, 4096));  // the memory stays until the last close
}

TEST_F(SegmentTest, OpenWaitsForANameThatIsYetToCome) {
  const auto begin = now_ns();
  const auto never = session.open("never", milliseconds(30));
  ASSERT_FALSE(never);
  EXPECT_EQ(never.error().code, Code::timed_out);
  EXPECT_GE(now_ns() - begin, 30 * ns_per_ms);

  Child other([](Child& parent) {
    auto mine = hive::attach({.cell = 1});
    if (!mine || !parent.hear()) return 1;
    auto made = mine->create("later", 4096);
    return made && parent.hear() ? 0 : 2;
  });
  other.tell();
  auto opened = session.open("later", seconds(20));
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_EQ(opened->home(), 1);
  other.tell();
  EXPECT_EQ(other.wait(), 0);
}

TEST_F(SegmentTest, OpenWaitsForANameWhoseHomeHasJustDied) {
  auto lost = session.create("s", 4096, {.home = 1});
  ASSERT_TRUE(lost);
  machine.kill(1);  // nobody has agreed on it yet, so the name still leads there
  EXPECT_EQ(session.open("s").error().code, Code::cell_down);
  EXPECT_EQ(session.open("s", milliseconds(30)).error().code, Code::timed_out);

  Child other([](Child& parent) {
    auto mine = hive::attach({.cell = 0});
    if (!mine || !parent.hear()) return 1;
    auto made = mine->create("s", 4096);
    return made && parent.hear() ? 0 : 2;
  });
  other.tell();
  auto opened = session.open("s", seconds(20));
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_EQ(opened->home(), 0);
  other.tell();
  EXPECT_EQ(other.wait(), 0);
}

TEST_F(SegmentTest, WhatADeadWriterLeftIsLostUntilReset) {
  auto segment = session.create("s", 16 * page_size, {.home = 1});
  ASSERT_TRUE(segment);
  fill(*segment, 0, segment->size(), 1);
  Child other([](Child& parent) {
    auto mine = hive::attach({.cell = 0});
    auto opened = mine ? mine->open("s") : fail(mine.error());
    auto window = opened ? opened->write(4 * page_size, 2 * page_size) : fail(opened.error());
    if (!window) return 1;
    *window->at<int>(0) = 99;
    parent.tell();
    parent.hear();
    return 0;
  });
  ASSERT_TRUE(other.hear());
  other.kill();
  ASSERT_TRUE(wait_until([&] { return !segment->touch(4 * page_size, 1); }));
  const auto lost = segment->read_as<int>(5 * page_size);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::lost);
  EXPECT_EQ(lost.error().cell, 1);
  std::vector<std::byte> all(segment->size());
  const auto whole = segment->read(0, all);
  ASSERT_FALSE(whole);
  EXPECT_EQ(whole.error().lost_range.offset, 4 * page_size);
  EXPECT_EQ(whole.error().lost_range.length, 2 * page_size);
  EXPECT_EQ(segment->write(4 * page_size, 1).error().code, Code::lost);
  EXPECT_EQ(*segment->read_as<int>(3 * page_size), 0x01010101);  // the rest is untouched
  EXPECT_EQ(*segment->read_as<int>(6 * page_size), 0x01010101);
  ASSERT_TRUE(segment->reset(0, segment->size()));
  EXPECT_EQ(*segment->read_as<int>(4 * page_size), 0);
  EXPECT_EQ(*segment->read_as<int>(3 * page_size), 0x01010101);
}

TEST_F(SegmentTest, EverySegmentOfACellThatDiedIsDown) {
  auto segment = session.create("s", 64 * page_size, {.home = 1});
  ASSERT_TRUE(segment);
  ASSERT_TRUE(segment->touch(0, page_size));
  machine.kill(1);
  const auto is_down = [](const auto& result) {
    return !result && result.error().code == Code::cell_down && result.error().cell == 1;
  };
  EXPECT_TRUE(is_down(segment->read_as<int>(0)));  // by the lifeline, before anybody agreed
  EXPECT_TRUE(is_down(segment->touch(0, segment->size())));
  EXPECT_TRUE(is_down(segment->write_all()));
  machine.tell_down(0, 1);
  EXPECT_TRUE(is_down(segment->read_as<int>(0)));
  EXPECT_TRUE(is_down(segment->destroy()));
  EXPECT_TRUE(is_down(session.create("t", 4096, {.home = 1})));
  EXPECT_TRUE(session.create("u", 4096, {.home = 0}));
}

TEST_F(SegmentTest, MemoryThatFailsIsAnErrorOfReadNotASignal) {
  auto segment = session.create("s", 64 * page_size, {.home = 1});
  ASSERT_TRUE(segment);
  ASSERT_TRUE(segment->touch(0, segment->size()));
  (void)machine.ask(1, "fail");
  // While the home still has its kernel memory it says that the page is lost.
  ASSERT_TRUE(wait_until([&] {
    const auto read = segment->read_as<int>(0);
    return !read && read.error().code == Code::cell_down;
  }));
}

TEST_F(SegmentTest, AHungHomeIsTimedOutNotAHang) {
  auto segment = session.create("s", 64 * page_size, {.home = 1});
  ASSERT_TRUE(segment);
  auto barrier = Barrier::open(*segment, "b", 2);
  ASSERT_TRUE(barrier);
  ::kill(machine.pid(1), SIGSTOP);
  const auto waited = barrier->arrive_and_wait(milliseconds(50));
  ::kill(machine.pid(1), SIGCONT);
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, Code::timed_out);
  EXPECT_TRUE(segment->touch(0, segment->size()));  // and the next call goes through
}

}  // namespace
}  // namespace hive::test
