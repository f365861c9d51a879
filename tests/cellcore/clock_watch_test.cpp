// When a cell takes another one's clock for one that stands.
#include <cstdint>

#include <gtest/gtest.h>

#include "cell/member/clock_watch.h"
#include "mapped_node.h"

namespace hive::test {
namespace {

using cell::busy_tick_ns;
using cell::ClockWatch;
using cell::first_tick_max_ns;

class ClockWatchTest : public ::testing::Test {
 protected:
  ClockWatchTest()
      : layout(machine::make_layout(2, std::uint64_t{1} << 20)),
        other(layout, 1),
        watch(layout, 0) {
    other.header()->tick_ns.store(busy_tick_ns);
  }
  // After how many of our ticks it is late; 0 when it is not.
  std::uint64_t late_after(std::uint64_t ticks) {
    for (std::uint64_t tick = 1; tick <= ticks; ++tick) {
      if (watch.on_tick(CellSet(3), busy_tick_ns).late.has(1)) return tick;
    }
    return 0;
  }
  const machine::Layout layout;
  MappedNode other;
  ClockWatch watch;
};

TEST_F(ClockWatchTest, OneThatStandsIsLateSoon) {
  other.header()->clock_word.store(7);
  EXPECT_EQ(late_after(100), 1U + cell::ticks_late + 1U);
}

TEST_F(ClockWatchTest, OneThatHasNotBegunIsGivenTimeButNotForEver) {
  const std::uint64_t given = first_tick_max_ns / busy_tick_ns;
  EXPECT_EQ(late_after(given), 0U);
  EXPECT_EQ(late_after(1), 1U);
}

TEST_F(ClockWatchTest, OneThatHasBegunIsGivenNoMoreThanTheOthers) {
  EXPECT_EQ(late_after(100), 0U);
  other.header()->clock_word.store(1);
  EXPECT_EQ(late_after(100), 1U + cell::ticks_late + 1U);
}

}  // namespace
}  // namespace hive::test
