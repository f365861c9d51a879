// Write windows: what they let through, whom they keep out, what they leave behind.
#include <hive/hive.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include <sys/wait.h>

#include "fake_machine.h"

namespace hive::test {
namespace {

using machine::FirewallMode;

// In each mode of the firewall that this host has.
class WindowTest : public ::testing::TestWithParam<FirewallMode> {
 protected:
  WindowTest() : machine(2, GetParam()), session(std::move(*hive::attach({.cell = 0}))) {}
  Segment make(std::uint64_t pages, int home = 1) {
    auto made = session.create("s", pages * page_size, {.home = home});
    EXPECT_TRUE(made) << made.error().message();
    return std::move(*made);
  }
  // How a child of this process ends that attaches and stores to the segment, in its own windows.
  template <class Body>
  static int status_of_child(Body body) {
    Child child([&](Child&) {
      auto mine = hive::attach({.cell = 0});
      auto segment = mine ? mine->open("s") : fail(mine.error());
      if (!segment) return 100;
      body(*segment);
      return 0;
    });
    return child.wait();
  }
  static int* cell_of(Segment& segment, std::uint64_t offset) {
    return reinterpret_cast<int*>(const_cast<std::byte*>(segment.data()) + offset);
  }

  FakeMachine machine;
  Session session;
};

TEST_P(WindowTest, StoresGoThroughAndAreSeenByOthersAtOnce) {
  Segment segment = make(4);
  auto window = segment.write(page_size + 100, 2 * page_size);
  ASSERT_TRUE(window) << window.error().message();
  EXPECT_EQ(window->data(), segment.data() + page_size + 100);
  EXPECT_EQ(window->length(), 2 * page_size);
  std::memset(window->data(), 3, window->length());
  EXPECT_EQ(status_of_child([](Segment& other) {
              if (*other.read_as<int>(page_size + 100) != 0x03030303) ::_exit(1);
            }),
            0);
  ASSERT_TRUE(window->commit());
  EXPECT_FALSE(window->is_open());
  EXPECT_EQ(window->commit().error().code, Code::bad_argument);
}

TEST_P(WindowTest, NoStoreBeforeOpenNorAfterCommit) {
  Segment segment = make(4);
  EXPECT_TRUE(died_of_fault(status_of_child([](Segment& s) { *cell_of(s, 0) = 1; })));
  EXPECT_TRUE(died_of_fault(status_of_child([](Segment& s) {
    auto window = s.write(0, page_size);
    *window->at<int>(0) = 1;
    if (!window->commit()) ::_exit(0);
    *cell_of(s, 0) = 2;
  })));
  EXPECT_EQ(*segment.read_as<int>(0), 1);
  EXPECT_TRUE(died_of_fault(status_of_child([](Segment& s) {
    auto window = s.write(0, page_size);
    *cell_of(s, page_size) = 1;  // its neighbour
  })));
}

TEST_P(WindowTest, ExclusiveWindowsKeepOthersOut) {
  Segment segment = make(8);
  auto window = segment.write(0, 2 * page_size);
  ASSERT_TRUE(window);
  EXPECT_EQ(segment.write(page_size, 1).error().code, Code::busy);
  EXPECT_EQ(segment.write(0, 1, WindowMode::shared).error().code, Code::busy);
  EXPECT_EQ(status_of_child([](Segment& s) {
              if (s.write(page_size, 1).error().code != Code::busy) ::_exit(1);
              if (!s.write(2 * page_size, 1)->commit()) ::_exit(2);
            }),
            0);
  ASSERT_TRUE(window->commit());
  EXPECT_TRUE(segment.write(page_size, 1)->commit());
}

TEST_P(WindowTest, AnUncommittedWindowIsTorn) {
  Segment segment = make(4);
  {
    auto window = segment.write(page_size, 1);
    ASSERT_TRUE(window);
  }
  EXPECT_EQ(segment.read_as<int>(page_size).error().code, Code::lost);
  EXPECT_TRUE(segment.read_as<int>(0));
  ASSERT_TRUE(segment.reset(0, segment.size()));
  EXPECT_TRUE(segment.read_as<int>(page_size));
}

TEST_P(WindowTest, MovingAWindowMovesItsEnd) {
  Segment segment = make(4);
  auto window = segment.write(0, 10);
  ASSERT_TRUE(window);
  WriteWindow moved = std::move(*window);
  EXPECT_FALSE(window->is_open());
  WriteWindow other = std::move(*segment.write(page_size, 10));
  other = std::move(moved);  // tears what it had
  EXPECT_EQ(segment.read_as<int>(page_size).error().code, Code::lost);
  *other.at<int>(0) = 8;
  ASSERT_TRUE(other.commit());
  EXPECT_EQ(*segment.read_as<int>(0), 8);
}

TEST_P(WindowTest, ClosingTheSegmentTearsItsWindows) {
  std::optional<Segment> segment(make(4));
  auto again = session.open("s");
  ASSERT_TRUE(again);
  auto window = segment->write(0, 1);
  ASSERT_TRUE(window);
  segment.reset();
  EXPECT_EQ(window->commit().error().code, Code::lost);
  EXPECT_EQ(again->read_as<int>(0).error().code, Code::lost);
}

TEST_P(WindowTest, AdjacentWindowsEndOneByOne) {
  Segment segment = make(8);
  auto left = segment.write(0, 2 * page_size);
  auto right = segment.write(2 * page_size, 2 * page_size);
  ASSERT_TRUE(left && right);
  ASSERT_TRUE(left->commit());
  for (std::uint64_t at = 0; at < 2 * page_size; at += 64) *right->at<int>(at) = 4;
  ASSERT_TRUE(right->commit());
  EXPECT_EQ(*segment.read_as<int>(2 * page_size), 4);
}

TEST_P(WindowTest, SharedWindowsOfTwoThreadsKeepACommonPageOpen) {
  Segment segment = make(4);
  auto first = segment.write(0, 2 * page_size, WindowMode::shared);
  auto second = segment.write(page_size, 2 * page_size, WindowMode::shared);
  ASSERT_TRUE(first && second) << second.error().message();
  ASSERT_TRUE(first->commit());
  *second->at<int>(0) = 21;  // the page that both had
  *second->at<int>(page_size) = 22;
  ASSERT_TRUE(second->commit());
  EXPECT_EQ(*segment.read_as<int>(page_size), 21);
  EXPECT_EQ(*segment.read_as<int>(2 * page_size), 22);
}

TEST_P(WindowTest, ASharedWindowThatAnotherTearsIsLostForAll) {
  Segment segment = make(2);
  auto window = segment.write(0, page_size, WindowMode::shared);
  ASSERT_TRUE(window);
  EXPECT_EQ(status_of_child([](Segment& s) {
              auto other = s.write(0, page_size, WindowMode::shared);
              ::_exit(other ? 0 : 1);  // dies with it open
            }),
            0);
  ASSERT_TRUE(wait_until([&] { return machine.ask(1, "clients") == "1"; }));
  EXPECT_EQ(window->commit().error().code, Code::lost);
}

TEST_P(WindowTest, ManyThreadsOpenAndCommitSideBySide) {
  Segment segment = make(64);
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (std::uint64_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        auto window = segment.write(t * 8 * page_size, 8 * page_size);
        if (!window) {
          ++failed;
          continue;
        }
        *window->at<int>(static_cast<std::uint64_t>(i % 8) * page_size) = i;
        if (!window->commit()) ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed.load(), 0);
}

std::vector<FirewallMode> modes_of_this_host() {
  switch (machine::probe_firewall_mode()) {
    case FirewallMode::mmu:
      return {FirewallMode::mmu, FirewallMode::mmu_windowed, FirewallMode::cooperative};
    case FirewallMode::mmu_windowed:
      return {FirewallMode::mmu_windowed, FirewallMode::cooperative};
    case FirewallMode::cooperative:
      break;
  }
  return {FirewallMode::cooperative};
}

INSTANTIATE_TEST_SUITE_P(Modes, WindowTest, ::testing::ValuesIn(modes_of_this_host()),
                         [](const auto& mode) {
                           switch (mode.param) {
                             case FirewallMode::mmu:
                               return "mmu";
                             case FirewallMode::mmu_windowed:
                               return "windowed";
                             case FirewallMode::cooperative:
                               break;
                           }
                           return "cooperative";
                         });

}  // namespace
}  // namespace hive::test
