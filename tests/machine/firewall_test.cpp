// What the home can do to the pages of a task, in each mode.
#include "machine/linux/firewall.h"

#include <cerrno>

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "base/safe_copy.h"
#include "base/time.h"
#include "machine/node_header.h"
#include "tests/machine/firewall_world.h"

namespace hive::test {
namespace {

constexpr std::int64_t refused_as(Code code) { return 1 + static_cast<std::int64_t>(code); }

class FirewallTest : public WorldTest {
 protected:
  bool fenced() const { return GetParam() != FirewallMode::cooperative; }
};

TEST_P(FirewallTest, NothingIsThereUntilItIsGiven) {
  if (!fenced()) GTEST_SKIP() << "cooperative: the pages are simply there";
  EXPECT_EQ(world_->load(3), -1);
  EXPECT_FALSE(world_->store(3, 9));
  EXPECT_EQ(world_->content(3), 1);
}

TEST_P(FirewallTest, AGivenPageCanBeReadAndNotStoredTo) {
  ASSERT_EQ(world_->give({3, 2}), 2);
  EXPECT_EQ(world_->load(3), 1);
  EXPECT_EQ(world_->load(4), 1);
  EXPECT_FALSE(world_->store(3, 9));
  if (fenced()) {
    world_->begin_stores({3, 2});
    EXPECT_FALSE(world_->store(3, 9)) << "the task's own protection was all there was";
    EXPECT_EQ(world_->load(5), -1);
  }
  EXPECT_EQ(world_->content(3), 1);
}

TEST_P(FirewallTest, AnOpenPageTakesStoresUntilItIsClosed) {
  ASSERT_EQ(world_->give({2, 1}), 1);
  world_->begin_stores({2, 3});
  ASSERT_EQ(world_->open({2, 3}), 0) << "one page given before, two not";
  for (std::uint32_t page = 2; page < 5; ++page) {
    EXPECT_TRUE(world_->store(page, 42));
    EXPECT_EQ(world_->content(page), 42);
  }
  EXPECT_FALSE(world_->store(5, 42));
  ASSERT_EQ(world_->close({2, 3}), 0);
  if (!fenced()) world_->end_stores({2, 3});
  for (std::uint32_t page = 2; page < 5; ++page) {
    EXPECT_FALSE(world_->store(page, 43));
    EXPECT_EQ(world_->load(page), 42);
    EXPECT_EQ(world_->content(page), 42);
  }
}

TEST_P(FirewallTest, ATaskThatEndsItsStoresHasClosedThePagesItself) {
  world_->begin_stores({2, 3});
  ASSERT_EQ(world_->open({2, 3}), 0);
  ASSERT_TRUE(world_->store(3, 42));
  world_->end_stores({2, 2});
  EXPECT_FALSE(world_->store(2, 43));
  EXPECT_FALSE(world_->store(3, 43));
  EXPECT_TRUE(world_->store(4, 43));
  // The home closes and opens them as ever.
  ASSERT_EQ(world_->close({2, 3}), 0);
  world_->begin_stores({2, 3});
  ASSERT_EQ(world_->open({2, 3}), 0);
  EXPECT_TRUE(world_->store(3, 44));
}

TEST_P(FirewallTest, ClosingOnePageLeavesItsNeighboursOpen) {
  world_->begin_stores({0, 8});
  ASSERT_EQ(world_->open({0, 8}), 0);
  ASSERT_EQ(world_->close({3, 1}), 0);
  if (!fenced()) return;
  EXPECT_TRUE(world_->store(2, 5));
  EXPECT_FALSE(world_->store(3, 5));
  EXPECT_TRUE(world_->store(4, 5));
}

TEST_P(FirewallTest, GivingAgainKeepsAnOpenPageOpenAndAClosedPageClosed) {
  world_->begin_stores({0, 8});
  ASSERT_EQ(world_->open({0, 2}), 0);
  ASSERT_EQ(world_->give({0, 8}), 8);
  ASSERT_EQ(world_->give({0, 8}), 8);
  EXPECT_TRUE(world_->store(0, 5));
  EXPECT_TRUE(world_->store(1, 5));
  if (fenced()) {
    EXPECT_FALSE(world_->store(2, 5));
  }
}

TEST_P(FirewallTest, APageTakenBackIsGoneForEverybodyAndComesBackEmpty) {
  if (!fenced()) GTEST_SKIP() << "cooperative: a hole is filled by whoever touches it";
  world_->begin_stores({1, 3});
  ASSERT_EQ(world_->open({1, 3}), 0);
  ASSERT_TRUE(world_->store(2, 77));
  ASSERT_EQ(world_->take_back({2, 1}), 0);
  EXPECT_FALSE(world_->store(2, 78));
  EXPECT_EQ(world_->load(2), -1);
  EXPECT_TRUE(world_->store(1, 78));
  EXPECT_EQ(world_->give({1, 3}), 2) << "there is no memory behind the page yet";
  EXPECT_EQ(world_->open({1, 3}), refused_as(Code::lost));
  EXPECT_FALSE(world_->store(1, 79)) << "an open that fails leaves nothing open";
  ASSERT_EQ(world_->refill({2, 1}), 0);
  EXPECT_EQ(world_->load(2), -1) << "new memory must not appear by itself";
  EXPECT_FALSE(world_->store(2, 80));
  ASSERT_EQ(world_->give({1, 3}), 3);
  EXPECT_EQ(world_->load(2), 0);
  EXPECT_FALSE(world_->store(2, 80));
}

TEST_P(FirewallTest, APageThatTheTaskLostIsGivenAgainAsItWas) {
  if (!fenced()) GTEST_SKIP() << "cooperative: Linux brings it back";
  // What reclaim by Linux does, done by the task itself.
  world_ = std::make_unique<World>(GetParam());
  world_->map_task(false);
  world_->begin_stores({0, 4});
  ASSERT_EQ(world_->open({1, 1}), 0);
  ASSERT_EQ(world_->give({0, 4}), 4);
  ASSERT_EQ(world_->task.run([](Exchange&) -> std::int64_t {
    return ::madvise(reinterpret_cast<void*>(page_address(0)), 4 * page_bytes, MADV_DONTNEED);
  }),
            0);
  EXPECT_EQ(world_->load(0), -1);
  ASSERT_EQ(world_->give({0, 4}), 4);
  EXPECT_EQ(world_->load(0), 1);
  EXPECT_FALSE(world_->store(0, 5));
  EXPECT_TRUE(world_->store(1, 5));
}

TEST_P(FirewallTest, RangesOutsideTheNodeAreRefused) {
  const std::uint32_t pages = world_layout.user_pages();
  for (const PageRange range : {PageRange{pages, 1}, PageRange{0, pages + 1}, PageRange{~0U, 2}}) {
    EXPECT_EQ(world_->open(range), refused_as(Code::bad_argument));
    EXPECT_EQ(world_->close(range), refused_as(Code::bad_argument));
    EXPECT_EQ(world_->take_back(range), refused_as(Code::bad_argument));
    EXPECT_EQ(world_->refill(range), refused_as(Code::bad_argument));
  }
  EXPECT_EQ(world_->give({pages - 1, 1}), 1);
}

TEST_P(FirewallTest, AProcessThatIsGoneIsNotFound) {
  if (!fenced()) GTEST_SKIP() << "cooperative: the home does nothing to anybody";
  ASSERT_EQ(world_->give({0, 1}), 1);
  world_->task.kill();
  EXPECT_EQ(world_->give({1, 1}), -1 - static_cast<std::int64_t>(Code::not_found));
  EXPECT_EQ(world_->open({0, 1}), refused_as(Code::not_found));
  EXPECT_EQ(world_->close({0, 1}), refused_as(Code::not_found));
}

TEST_P(FirewallTest, ASpinningWriterStopsAtTheClose) {
  if (!fenced()) GTEST_SKIP() << "cooperative: the writer stops when it wants to";
  world_->begin_stores({6, 1});
  for (const bool by_punch : {false, true}) {
    if (by_punch) {
      ASSERT_EQ(world_->refill({6, 1}), 0);
    }
    ASSERT_EQ(world_->open({6, 1}), 0);
    world_->put(6, 0);
    world_->task.begin([](Exchange&) -> std::int64_t {
      auto* byte = reinterpret_cast<void*>(page_address(6));
      std::int64_t stores = 0;
      for (std::uint8_t value = 1; safe_store8(byte, value);
           value = value == 255 ? 1 : value + 1) {
        ++stores;
      }
      return stores;
    });
    const std::uint64_t deadline = now_ns() + 30 * ns_per_s;
    while (world_->content(6) == 0 && now_ns() < deadline) cpu_relax();
    ASSERT_NE(world_->content(6), 0) << "the writer has not begun";
    ASSERT_EQ(by_punch ? world_->take_back({6, 1}) : world_->close({6, 1}), 0);
    if (by_punch) world_->put(6, 0);  // the judge's store brings a new page
    const std::uint8_t after = world_->content(6);
    const auto spun = world_->task.finish();
    EXPECT_FALSE(spun.ended);
    EXPECT_GT(spun.value, 0);
    EXPECT_EQ(world_->content(6), after);
  }
}

TEST_P(FirewallTest, MemoryThatFailsIsABusErrorForEverybody) {
  ASSERT_EQ(world_->give({0, 2}), 2);
  EXPECT_EQ(world_->task.run([](Exchange&) -> std::int64_t {
    std::uint32_t magic = 0;
    const auto* header = machine::node_header(world_layout, world_node);
    return safe_load32(&header->magic, magic) && magic == machine::node_magic;
  }),
            1);
  world_->fail_memory();
  EXPECT_EQ(world_->refill({0, 1}), refused_as(Code::lost)) << "failed memory does not come back";
  EXPECT_EQ(world_->load(0), -1);
  EXPECT_FALSE(world_->store(0, 3));
  EXPECT_EQ(world_->task.run([](Exchange&) -> std::int64_t {
    std::uint32_t magic = 0;
    return safe_load32(&machine::node_header(world_layout, world_node)->magic, magic);
  }),
            0);
  if (fenced()) {
    EXPECT_EQ(world_->give({0, 2}), 0);
  }
}

TEST_P(FirewallTest, TheHomesOwnViewIsBehindTheFirewallToo) {
  if (!fenced()) GTEST_SKIP() << "cooperative: nothing is fenced";
  EXPECT_EQ(world_->home.run([](Exchange&) -> std::int64_t {
    return safe_store8(reinterpret_cast<void*>(page_address(0)), 5);
  }),
            0);
  EXPECT_EQ(world_->content(0), 1);
}

INSTANTIATE_TEST_SUITE_P(Modes, FirewallTest,
                         testing::Values(FirewallMode::mmu, FirewallMode::mmu_windowed,
                                         FirewallMode::cooperative),
                         [](const auto& p) { return mode_test_name(p.param); });

}  // namespace
}  // namespace hive::test
