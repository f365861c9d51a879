// Mutexes and conditions when participants live, wait, and die.
#include <hive/hive.h>

#include <chrono>
#include <random>
#include <thread>

#include <sys/wait.h>

#include "fake_machine.h"
#include "test_seed.h"

namespace hive::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class LockTest : public ::testing::Test {
 protected:
  LockTest()
      : machine(2),
        session(std::move(*hive::attach({.cell = 0}))),
        segment(std::move(*session.create("s", 4096, {.home = 1}))) {}
  FakeMachine machine;
  Session session;
  Segment segment;
};

struct Task {
  Task()
      : session(std::move(*hive::attach({.cell = 1}))),
        segment(std::move(*session.open("s"))),
        mutex(std::move(*Mutex::open(segment, "m"))) {}
  Session session;
  Segment segment;
  Mutex mutex;
};

TEST_F(LockTest, NamesAndKindsAreChecked) {
  EXPECT_EQ(Mutex::open(segment, "").error().code, Code::bad_argument);
  EXPECT_EQ(Mutex::open(segment, std::string(32, 'x')).error().code, Code::bad_argument);
  ASSERT_TRUE(Mutex::open(segment, "m"));
  EXPECT_EQ(Condition::open(segment, "m").error().code, Code::refused);
}

TEST_F(LockTest, ExcludesTheThreadsOfATask) {
  auto mutex = Mutex::open(segment, "m");
  ASSERT_TRUE(mutex) << mutex.error().message();
  int counter = 0;  // plain on purpose
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        ASSERT_TRUE(mutex->lock());
        ++counter;
        ASSERT_TRUE(mutex->unlock());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, 8000);
}

TEST_F(LockTest, ExcludesTasksOfOtherCells) {
  auto mutex = Mutex::open(segment, "m");
  ASSERT_TRUE(mutex);
  constexpr int rounds = 2000;
  const auto work = [](Segment& s, Mutex& m) {
    auto window = s.write(0, 4096, WindowMode::shared);
    if (!window) return false;
    for (int i = 0; i < rounds; ++i) {
      auto held = m.guard();
      if (!held) return false;
      auto* value = window->at<volatile std::uint64_t>(0);
      const std::uint64_t before = *value;
      *value = before + 1;
    }
    return window->commit().has_value();
  };
  Child other([&](Child&) {
    Task task;
    return work(task.segment, task.mutex) ? 0 : 1;
  });
  EXPECT_TRUE(work(segment, *mutex));
  EXPECT_EQ(other.wait(), 0);
  EXPECT_EQ(*segment.read_as<std::uint64_t>(0), 2U * rounds);
}

TEST_F(LockTest, TryingAndTimesAreKept) {
  auto mutex = Mutex::open(segment, "m");
  ASSERT_TRUE(mutex->try_lock());
  EXPECT_EQ(mutex->try_lock().error().code, Code::busy);
  EXPECT_EQ(mutex->lock(milliseconds(20)).error().code, Code::timed_out);
  ASSERT_TRUE(mutex->unlock());
  EXPECT_EQ(mutex->unlock().error().code, Code::bad_argument);
  EXPECT_TRUE(mutex->lock(milliseconds(0)));
}

TEST_F(LockTest, WhoTimedOutCanLockItLater) {
  auto mutex = Mutex::open(segment, "m");
  for (int i = 0; i < 3; ++i) {
    Child other([](Child& self) {
      Task task;
      if (!task.mutex.lock()) return 1;
      self.tell();
      self.hear();
      return task.mutex.unlock() ? 0 : 1;
    });
    ASSERT_TRUE(other.hear());
    EXPECT_EQ(mutex->lock(milliseconds(20)).error().code, Code::timed_out);
    EXPECT_EQ(mutex->lock(milliseconds(0)).error().code, Code::timed_out);
    other.tell();
    const auto taken = mutex->lock(seconds(30));
    ASSERT_TRUE(taken) << taken.error().message();
    EXPECT_EQ(other.wait(), 0);
    ASSERT_TRUE(mutex->unlock());
    ASSERT_TRUE(mutex->lock(milliseconds(0)));  // and again: it left nothing of its wait behind
    ASSERT_TRUE(mutex->unlock());
    EXPECT_FALSE(mutex->is_broken());
  }
}

TEST_F(LockTest, TheDeathOfItsOwnerBreaksItUntilReset) {
  auto mutex = Mutex::open(segment, "m");
  Child other([](Child& self) {
    Task task;
    if (!task.mutex.lock()) return 1;
    self.tell();
    self.hear();
    return 0;
  });
  ASSERT_TRUE(other.hear());
  EXPECT_EQ(mutex->try_lock().error().code, Code::busy);
  Result<void> waited;
  std::thread waiter([&] { waited = mutex->lock(seconds(30)); });
  other.kill();
  waiter.join();
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, Code::lost) << waited.error().message();
  EXPECT_TRUE(mutex->is_broken());
  EXPECT_EQ(mutex->lock().error().code, Code::lost);  // it stays so
  ASSERT_TRUE(mutex->reset());
  EXPECT_FALSE(mutex->is_broken());
  ASSERT_TRUE(mutex->lock());
  EXPECT_TRUE(mutex->reset());  // not broken: left alone
  EXPECT_EQ(mutex->try_lock().error().code, Code::busy);
}

TEST_F(LockTest, TheDeathOfOneWhoWaitsIsNoticedByNobody) {
  auto mutex = Mutex::open(segment, "m");
  ASSERT_TRUE(mutex->lock());
  Child other([](Child& self) {
    Task task;
    self.tell();
    (void)task.mutex.lock(seconds(60));
    return 0;
  });
  ASSERT_TRUE(other.hear());
  other.kill();
  ASSERT_TRUE(wait_until([&] { return machine.ask(1, "clients") == "1"; }));
  ASSERT_TRUE(mutex->unlock());
  EXPECT_TRUE(mutex->lock(seconds(10)));
}

TEST_F(LockTest, DetachingWhileHoldingItBreaksIt) {
  auto mutex = Mutex::open(segment, "m");
  Child other([](Child&) {
    Task task;
    return task.mutex.lock() ? 0 : 1;
  });
  EXPECT_EQ(other.wait(), 0);
  ASSERT_TRUE(wait_until([&] { return mutex->is_broken(); }));
  EXPECT_EQ(mutex->lock().error().code, Code::lost);
}

TEST_F(LockTest, TheDeathOfTheHomeEndsEveryWait) {
  auto mutex = Mutex::open(segment, "m");
  ASSERT_TRUE(mutex->lock());
  Result<void> waited;
  std::thread waiter([&] { waited = mutex->lock(seconds(60)); });
  machine.kill(1);
  machine.tell_down(0, 1);
  waiter.join();
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, Code::cell_down);
  EXPECT_EQ(mutex->unlock().error().code, Code::cell_down);
}

TEST_F(LockTest, AConditionWakesThoseWhoWait) {
  auto mutex = Mutex::open(segment, "m");
  auto changed = Condition::open(segment, "c");
  ASSERT_TRUE(changed) << changed.error().message();
  // The two take turns; each waits for the other's number.
  const auto play = [](Segment& s, Mutex& m, Condition& c, std::uint64_t mine) {
    auto window = s.write(0, 4096, WindowMode::shared);
    if (!window) return false;
    auto* turn = window->at<volatile std::uint64_t>(0);
    for (int i = 0; i < 300; ++i) {
      auto held = m.guard();
      if (!held) return false;
      while (*turn % 2 != mine) {
        if (!c.wait(m, seconds(30))) return false;
      }
      *turn = *turn + 1;
      if (!c.notify_all()) return false;
    }
    return window->commit().has_value();
  };
  Child other([&](Child&) {
    Task task;
    auto same = Condition::open(task.segment, "c");
    return same && play(task.segment, task.mutex, *same, 1) ? 0 : 1;
  });
  EXPECT_TRUE(play(segment, *mutex, *changed, 0));
  EXPECT_EQ(other.wait(), 0);
  EXPECT_EQ(*segment.read_as<std::uint64_t>(0), 600U);
}

TEST_F(LockTest, AWaitThatTimesOutLeavesTheMutexHeld) {
  auto mutex = Mutex::open(segment, "m");
  auto changed = Condition::open(segment, "c");
  ASSERT_TRUE(mutex->lock());
  for (const int ms : {0, 10, 250}) {
    const auto waited = changed->wait(*mutex, milliseconds(ms));
    ASSERT_FALSE(waited) << "after " << ms << " ms";
    EXPECT_EQ(waited.error().code, Code::timed_out);
  }
  EXPECT_EQ(mutex->try_lock().error().code, Code::busy);
  EXPECT_TRUE(mutex->unlock());
}

TEST(LockWindowed, WorksWhereMappingsAreReadOnlyOutsideWindows) {
  FakeMachine machine(2, machine::FirewallMode::mmu_windowed);
  auto session = hive::attach({.cell = 0});
  ASSERT_TRUE(session);
  auto segment = session->create("s", 4096, {.home = 1});
  ASSERT_TRUE(segment);
  auto mutex = Mutex::open(*segment, "m");
  ASSERT_TRUE(mutex) << mutex.error().message();
  ASSERT_TRUE(mutex->lock());
  Child other([](Child&) {
    Task task;
    return task.mutex.try_lock().error().code == Code::busy ? 0 : 1;
  });
  EXPECT_EQ(other.wait(), 0);
  EXPECT_TRUE(mutex->unlock());
}

// Tasks that lock and unlock without end are killed at random moments. Whoever is left gets the
// mutex, or is told that it is broken; nobody waits for ever, and no two hold it.
TEST_F(LockTest, KillsAtAnyMomentLeaveNobodyStuck) {
  const auto seed = static_cast<unsigned>(test_seed());
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  auto mutex = Mutex::open(segment, "m");
  ASSERT_TRUE(mutex);
  int broken = 0;
  for (int round = 0; round < 40; ++round) {
    Child victim([](Child& self) {
      Task task;
      self.tell();
      while (task.mutex.lock(seconds(60)) && task.mutex.unlock()) {
      }
      return 1;
    });
    ASSERT_TRUE(victim.hear());
    const auto end = std::chrono::steady_clock::now() +
                     std::chrono::microseconds(random() % 3000);
    while (std::chrono::steady_clock::now() < end) {
      ASSERT_TRUE(mutex->lock(seconds(30)));
      ASSERT_TRUE(mutex->unlock());
    }
    victim.kill();
    const auto taken = mutex->lock(seconds(30));
    if (taken) {
      ASSERT_TRUE(mutex->unlock());
      continue;
    }
    ASSERT_EQ(taken.error().code, Code::lost) << taken.error().message();
    ++broken;
    ASSERT_TRUE(mutex->reset());
  }
  std::printf("%d of 40 kills broke it\n", broken);
}

}  // namespace
}  // namespace hive::test
