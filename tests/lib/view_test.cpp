// Reading in place: views that know when they are no longer good, and blocks in which a bus error
// is an error value.
#include <hive/hive.h>

#include <chrono>
#include <csignal>
#include <string_view>
#include <thread>

#include "fake_machine.h"

namespace hive::test {
namespace {

class ViewTest : public ::testing::Test {
 protected:
  ViewTest()
      : machine(2),
        session(std::move(*hive::attach({.cell = 0}))),
        segment(std::move(*session.create("s", 8 * page_size, {.home = 1}))) {}
  // A task that stores to the segment's third page and dies in the middle.
  void tear() {
    Child child([](Child& self) {
      auto mine = hive::attach({.cell = 0});
      auto same = mine->open("s");
      auto window = same->write(2 * page_size, 8);
      if (!window) return 1;
      *window->at<volatile int>(0) = 1;
      self.tell();
      self.hear();
      return 0;
    });
    ASSERT_TRUE(child.hear());
    child.kill();
    ASSERT_TRUE(wait_until([&] {
      const auto read = segment.read_as<int>(2 * page_size);
      return !read && read.error().code == Code::lost;
    }));
  }
  FakeMachine machine;
  Session session;
  Segment segment;
};

TEST_F(ViewTest, ShowsWhatIsThereAndStaysValidMeanwhile) {
  ASSERT_TRUE(segment.put_as(page_size, 17));
  const auto seen = view<int>(segment, page_size, 3);
  ASSERT_TRUE(seen) << seen.error().message();
  EXPECT_EQ(**seen, 17);
  EXPECT_EQ(seen->size(), 3U);
  EXPECT_TRUE(seen->valid());
  EXPECT_EQ(view<int>(segment, 2).error().code, Code::bad_argument);
  EXPECT_EQ(view<int>(segment, 8 * page_size).error().code, Code::bad_argument);
}

TEST_F(ViewTest, IsNoLongerValidOnceAPageIsTorn) {
  const auto seen = view<int>(segment, 0);
  ASSERT_TRUE(seen);
  tear();
  EXPECT_FALSE(seen->valid());
  EXPECT_TRUE(view<int>(segment, 0));
  EXPECT_EQ(view<int>(segment, 2 * page_size).error().code, Code::lost);
}

TEST_F(ViewTest, AGuardedLoadOfATornPageIsAnError) {
  tear();
  int sum = 0;
  bool reached = false;
  const auto read = guarded([&] {
    sum += *const_cast<const volatile int*>(segment.at<int>(0));
    sum += *const_cast<const volatile int*>(segment.at<int>(2 * page_size));
    reached = true;
  });
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::lost) << read.error().message();
  EXPECT_EQ(read.error().lost_range.offset, 2 * page_size);
  EXPECT_FALSE(reached);
  EXPECT_TRUE(guarded([] {}));  // and again
}

TEST_F(ViewTest, AGuardedLoadAfterTheHomeFailedIsAnError) {
  ASSERT_TRUE(segment.touch(0, page_size));
  const auto seen = view<int>(segment, 0);
  machine.ask(1, "fail");
  machine.tell_down(0, 1);
  const auto read =
      guarded([&] { (void)*const_cast<const volatile int*>(segment.at<int>(4 * page_size)); });
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::cell_down) << read.error().message();
  EXPECT_FALSE(seen->valid());
}

TEST_F(ViewTest, AGuardedStrayStoreIsRefused) {
  const auto stored = guarded([&] { *const_cast<volatile int*>(segment.at<int>(0)) = 3; });
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().code, Code::refused);
}

// The program's own bytes may be what cannot be read or stored to. More often than a gate has
// slots.
TEST_F(ViewTest, AFaultInTheMiddleOfACallLeavesNothingBehind) {
  auto other = session.create("other", 8 * page_size, {.home = 1});
  ASSERT_TRUE(other) << other.error().message();
  struct Record {
    std::uint64_t words[8];
  };
  auto ring = RingWriter<Record>::create(*other, 0, 16);
  auto value = Versioned<Record>::Writer::create(*other, 4 * page_size);
  ASSERT_TRUE(ring) << ring.error().message();
  ASSERT_TRUE(value) << value.error().message();
  ASSERT_TRUE(segment.touch(page_size, page_size));
  tear();
  const auto* const torn = segment.at<Record>(2 * page_size);
  const std::span torn_bytes(segment.data() + 2 * page_size, 512);
  const std::string_view name(reinterpret_cast<const char*>(torn), 8);
  auto* const closed = const_cast<std::byte*>(segment.data() + page_size);
  bool went_on = false;
  const auto code_of = [&](auto body) {
    const auto done = guarded([&] {
      body();
      went_on = true;
    });
    return done ? Code::host : done.error().code;
  };
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(code_of([&] { (void)segment.put(0, torn_bytes); }), Code::lost);
    EXPECT_EQ(code_of([&] { (void)ring->publish(*torn); }), Code::lost);
    EXPECT_EQ(code_of([&] { (void)value->publish(*torn); }), Code::lost);
    EXPECT_EQ(code_of([&] { (void)Mutex::open(segment, name); }), Code::lost);
    EXPECT_EQ(code_of([&] { (void)Counter::open(segment, name); }), Code::lost);
    EXPECT_EQ(code_of([&] { (void)session.open(name); }), Code::lost);
    EXPECT_EQ(code_of([&] { (void)segment.read(0, {closed, 512}); }), Code::refused);
  }
  EXPECT_FALSE(went_on);
  EXPECT_TRUE(segment.put_as(0, 17));
  EXPECT_EQ(*segment.read_as<int>(0), 17);
  EXPECT_TRUE(ring->publish(Record{}));
  EXPECT_TRUE(value->publish(Record{}));
  EXPECT_TRUE(Mutex::open(segment, "a name"));
  auto window = segment.write(4 * page_size, page_size);
  ASSERT_TRUE(window);
  EXPECT_TRUE(window->commit());
  const auto begin = std::chrono::steady_clock::now();
  { const Session gone = std::move(session); }
  // Detaching waits for whoever is still inside: nobody is.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
}

TEST_F(ViewTest, WhatLiesInASegmentThatIsNotThereYetIsPublishedAndReadInto) {
  ASSERT_TRUE(segment.put_as(4 * page_size, 23));
  Child child([](Child&) {
    auto mine = hive::attach({.cell = 0});
    auto from = mine->open("s");
    auto to = mine->create("to", 4 * page_size, {.home = 1});
    if (!from || !to) return 1;
    auto ring = RingWriter<int>::create(*to, 0, 16);
    auto reader = RingReader<int>::open(*to, 0, RingStart::oldest);
    if (!ring || !reader) return 2;
    if (!ring->publish(*from->at<int>(4 * page_size))) return 3;
    int got = 0;
    const auto batch = reader->read({&got, 1});
    if (!batch || batch->count != 1 || got != 23) return 4;
    auto window = to->write(3 * page_size, page_size);
    if (!window) return 5;
    auto* const into = window->data();
    if (!from->read(4 * page_size, {into, sizeof got})) return 6;
    return *window->at<int>(0) == 23 && window->commit() ? 0 : 7;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(ViewTest, GuardsNestAndEachThreadHasItsOwn) {
  tear();
  const auto load = [&] {
    (void)*const_cast<const volatile int*>(segment.at<int>(2 * page_size));
  };
  bool went_on = false;
  const auto outer = guarded([&] {
    const auto inner = guarded(load);
    if (!inner) went_on = true;
  });
  EXPECT_TRUE(outer);
  EXPECT_TRUE(went_on);
  std::thread other([&] { EXPECT_EQ(guarded(load).error().code, Code::lost); });
  other.join();
}

}  // namespace
}  // namespace hive::test
