// Counters, barriers and work queues when participants live, wait, and die.
#include <hive/hive.h>

#include <atomic>
#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include "fake_machine.h"

namespace hive::test {
namespace {

using std::chrono::milliseconds;

class SyncTest : public ::testing::Test {
 protected:
  SyncTest()
      : machine(2),
        session(std::move(*hive::attach({.cell = 0}))),
        segment(std::move(*session.create("s", 4096, {.home = 1}))) {}
  FakeMachine machine;
  Session session;
  Segment segment;
};

// Attaches in a child and opens the segment there.
struct Task {
  Task()
      : session(std::move(*hive::attach({.cell = 1}))), segment(std::move(*session.open("s"))) {}
  Session session;
  Segment segment;
};

TEST_F(SyncTest, NamesAndParametersAreChecked) {
  EXPECT_EQ(Counter::open(segment, "").error().code, Code::bad_argument);
  EXPECT_EQ(Counter::open(segment, std::string(32, 'x')).error().code, Code::bad_argument);
  EXPECT_EQ(Barrier::open(segment, "b", 0).error().code, Code::bad_argument);
  ASSERT_TRUE(Barrier::open(segment, "b", 2));
  EXPECT_EQ(Barrier::open(segment, "b", 3).error().code, Code::refused);
  EXPECT_EQ(Counter::open(segment, "b").error().code, Code::refused);
}

TEST_F(SyncTest, CounterCountsForAll) {
  auto counter = Counter::open(segment, "c");
  ASSERT_TRUE(counter) << counter.error().message();
  EXPECT_EQ(*counter->add(5), 0U);
  Child other([](Child&) {
    Task task;
    auto same = Counter::open(task.segment, "c");
    for (int i = 0; i < 100; ++i) {
      if (!same || !same->add(1)) return 1;
    }
    return 0;
  });
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(counter->add(1));
  EXPECT_EQ(other.wait(), 0);
  EXPECT_EQ(*counter->get(), 205U);
}

TEST_F(SyncTest, BarrierLetsAllGoTogether) {
  constexpr std::uint32_t parties = 3;
  std::vector<std::unique_ptr<Child>> children;
  for (std::uint32_t i = 1; i < parties; ++i) {
    children.push_back(std::make_unique<Child>([](Child&) {
      Task task;
      auto barrier = Barrier::open(task.segment, "b", parties);
      for (int round = 0; round < 20; ++round) {
        if (!barrier || !barrier->arrive_and_wait()) return 1;
      }
      return 0;
    }));
  }
  auto barrier = Barrier::open(segment, "b", parties);
  ASSERT_TRUE(barrier);
  for (int round = 0; round < 20; ++round) ASSERT_TRUE(barrier->arrive_and_wait());
  for (auto& child : children) EXPECT_EQ(child->wait(), 0);
}

TEST_F(SyncTest, BarrierBreaksWhenAPartyDiesAndCanBeMended) {
  auto barrier = Barrier::open(segment, "b", 2);
  ASSERT_TRUE(barrier);
  Child other([](Child& parent) {
    Task task;
    auto same = Barrier::open(task.segment, "b", 2);
    parent.tell();
    parent.hear();
    return 0;
  });
  ASSERT_TRUE(other.hear());
  std::thread death([&] { other.kill(); });
  const auto waited = barrier->arrive_and_wait();
  death.join();
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, Code::lost);
  EXPECT_EQ(barrier->arrive_and_wait().error().code, Code::lost);
  ASSERT_TRUE(barrier->reset(1));
  EXPECT_TRUE(barrier->arrive_and_wait());
}

TEST_F(SyncTest, BarrierWaitEndsAtItsDeadlineAndBreaksIt) {
  auto barrier = Barrier::open(segment, "b", 2);
  ASSERT_TRUE(barrier);
  EXPECT_EQ(barrier->arrive_and_wait(milliseconds(20)).error().code, Code::timed_out);
  EXPECT_EQ(barrier->arrive_and_wait(milliseconds(20)).error().code, Code::lost);
}

TEST_F(SyncTest, EveryItemIsDoneOnceThoughItsFirstTakerDies) {
  constexpr std::uint64_t items = 50;
  auto queue = WorkQueue::open(segment, "q", items);
  ASSERT_TRUE(queue);
  Child other([](Child& parent) {
    Task task;
    auto same = WorkQueue::open(task.segment, "q", items);
    for (int i = 0; i < 5; ++i) {
      if (!same || !same->take()) return 1;
    }
    parent.tell();
    parent.hear();
    return 0;
  });
  ASSERT_TRUE(other.hear());
  EXPECT_EQ(queue->progress()->leased, 5U);
  std::thread death([&] { other.kill(); });
  std::set<std::uint64_t> seen;
  while (true) {
    auto item = queue->take();  // waits for those that may come back
    ASSERT_TRUE(item) << item.error().message();
    if (*item == WorkQueue::empty) break;
    EXPECT_TRUE(seen.insert(*item).second);
    if (*item % 2 != 0) {
      ASSERT_TRUE(queue->done(*item));
      continue;
    }
    item = queue->done_then_take(*item);
    ASSERT_TRUE(item) << item.error().message();
    if (*item == WorkQueue::empty) break;
    EXPECT_TRUE(seen.insert(*item).second);
    ASSERT_TRUE(queue->done(*item));
  }
  death.join();
  EXPECT_EQ(seen.size(), items);
  const auto progress = queue->progress();
  EXPECT_EQ(progress->done, items);
  EXPECT_EQ(progress->leased, 0U);
  EXPECT_EQ(progress->handed_out_again, 5U);
}

TEST_F(SyncTest, QueueErrors) {
  auto queue = WorkQueue::open(segment, "q", 1);
  ASSERT_TRUE(queue);
  EXPECT_EQ(queue->done(0).error().code, Code::bad_argument);
  EXPECT_EQ(queue->done_then_take(0).error().code, Code::bad_argument);
  ASSERT_TRUE(queue->take());
  auto nothing = WorkQueue::open(segment, "none", 0);
  ASSERT_TRUE(nothing);
  EXPECT_EQ(*nothing->take(), WorkQueue::empty);
}

TEST_F(SyncTest, WaitersGetCellDownWhenTheHomeDies) {
  auto barrier = Barrier::open(segment, "b", 2);
  auto queue = WorkQueue::open(segment, "q", 1);
  ASSERT_TRUE(barrier && queue);
  ASSERT_TRUE(queue->take());
  std::atomic<int> ended{0};
  const auto expect_down = [&](const auto& result) {
    EXPECT_EQ(result ? Code::host : result.error().code, Code::cell_down);
    ++ended;
  };
  std::thread first([&] { expect_down(barrier->arrive_and_wait()); });
  std::thread second([&] { expect_down(queue->take()); });
  std::this_thread::sleep_for(milliseconds(20));  // most likely asleep by now
  machine.kill(1);
  machine.tell_down(0, 1);
  first.join();
  second.join();
  EXPECT_EQ(ended.load(), 2);
}

TEST_F(SyncTest, ObjectsEndWithTheirSegment) {
  auto counter = Counter::open(segment, "c");
  ASSERT_TRUE(counter);
  { Segment gone = std::move(segment); }
  EXPECT_EQ(counter->add(1).error().code, Code::bad_argument);
}

}  // namespace
}  // namespace hive::test
