// The rules of recovery and reintegration one by one, by hand-made inputs; those of ballots have a
// file of their own. docs/agreement.md has them.
#include "cell/member/member_core.h"

#include <algorithm>
#include <map>
#include <vector>

#include <gtest/gtest.h>

#include "core_cells.h"

namespace hive::cell {
namespace {

TEST(View, TheEpochCountsEvents) {
  View view = View::first(3);
  EXPECT_EQ(view.epoch(3), 1U);
  view[1] = dead_life(1);
  EXPECT_EQ(view.epoch(3), 2U);
  EXPECT_EQ(view.live().bits(), 0b101U);
  view[1] = live_life(2);
  EXPECT_EQ(view.epoch(3), 3U);
  EXPECT_EQ(incarnation_of(view[1]), 2U);
  EXPECT_TRUE(view.contains(View::first(3)));
  EXPECT_FALSE(View::first(3).contains(view));
}

TEST(MemberCore, ADeathNeedsNoVote) {
  Cells cells(3);
  cells[0].look(2, cells.now);
  EXPECT_EQ(cells[0].phase(), Phase::settled);  // it lives
  cells.die(2);
  cells[0].look(2, cells.now);
  EXPECT_EQ(cells[0].view()[2], dead_life(1));
  const auto orders = cells[0].take_orders();
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_EQ(orders[0].what, What::close);
  EXPECT_EQ(orders[0].cells.bits(), 0b100U);
  // The other one hears of it and looks for itself.
  EXPECT_TRUE(cells.read(1, 0));
  EXPECT_EQ(cells[1].view(), cells[0].view());
}

TEST(MemberCore, NobodyDiscardsBeforeAllHaveClosedNorGoesOnBeforeAllHaveDiscarded) {
  Cells cells(3);
  cells.die(2);
  cells.tell_death(2);
  cells[0].on_closed(cells[0].round(), cells.now);
  cells.spread();
  EXPECT_EQ(cells[0].phase(), Phase::closed);
  EXPECT_EQ(cells[0].waited_for().bits(), 0b010U);
  EXPECT_TRUE(cells.orders(0, What::discard).empty());
  cells[1].on_closed(cells[1].round(), cells.now);
  cells.spread();
  EXPECT_EQ(cells.orders(0, What::discard).size(), 1U);
  cells[0].on_discarded(cells[0].round(), cells.now);
  cells.spread();
  EXPECT_EQ(cells[0].phase(), Phase::discarded);
  cells[1].on_discarded(cells[1].round(), cells.now);
  cells.spread();
  const auto settled = cells.orders(0, What::settle);
  ASSERT_EQ(settled.size(), 1U);
  EXPECT_EQ(settled[0].epoch, 2U);
  EXPECT_EQ(settled[0].cells.bits(), 0b011U);
  EXPECT_EQ(cells[1].settled(), cells[0].settled());
}

// Cell 2 of three dies, and cell 1 does not come to the barrier where cell 0 waits.
bool is_accused_after(std::uint64_t late_ns, Found found) {
  Cells cells(3);
  cells.die(2);
  cells.tell_death(2);
  cells[0].on_closed(cells[0].round(), cells.now);
  cells.spread();
  (void)cells[0].take_orders();
  cells.now += late_ns;
  cells[0].on_tick(cells.now);
  if (cells.orders(0, What::probe).empty()) return false;
  cells[0].on_probe(1, 1, found, cells.now);
  return cells[0].has_open_ballot();
}

TEST(MemberCore, WhoIsLateAtABarrierIsAccusedThoughItsClockGoesOn) {
  EXPECT_FALSE(is_accused_after(900 * ms, Found::sound));
  EXPECT_TRUE(is_accused_after(1'100 * ms, Found::sound));
}

TEST(MemberCore, WithManyCellsABarrierIsWaitedForLonger) {
  for (const int count : {4, 64}) {
    Cells cells(count);
    cells.die(1);
    cells.tell_death(1);
    cells.silent.add(2);
    cells.spread();
    cells[0].on_closed(cells[0].round(), cells.now);
    const std::uint64_t late_ms = count == 4 ? 1000 : 63 * 125;
    cells[0].on_tick(cells.now + late_ms * ms);
    EXPECT_TRUE(cells.orders(0, What::probe).empty()) << count;
    cells[0].on_tick(cells.now + late_ms * ms + 1);
    EXPECT_FALSE(cells.orders(0, What::probe).empty()) << count;
  }
}

TEST(MemberCore, WhoIsLateAtABarrierForWantOfAProcessorHasTwentyTimesAsLong) {
  EXPECT_FALSE(is_accused_after(19'000 * ms, Found::starved));
  EXPECT_TRUE(is_accused_after(21'000 * ms, Found::starved));
}

TEST(MemberCore, AnotherDeathStartsRecoveryOver) {
  Cells cells(4);
  cells.die(3);
  cells.tell_death(3);
  const std::uint32_t first_round = cells[0].round();
  (void)cells[0].take_orders();
  cells.die(2);
  cells.tell_death(2);
  EXPECT_EQ(cells[0].restarts(), 1U);
  const auto orders = cells.orders(0, What::close);
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_EQ(orders[0].cells.bits(), 0b1100U);  // the first one's pages are not freed yet
  cells[0].on_closed(first_round, cells.now);
  EXPECT_EQ(cells[0].phase(), Phase::closing);
  cells.recover();
  EXPECT_EQ(cells[0].phase(), Phase::settled);
  EXPECT_EQ(cells[1].settled().epoch(4), 3U);
}

TEST(MemberCore, TheMasterTakesInAJoinerThatIsAttached) {
  Cells cells(3);
  cells.die(2);
  cells.tell_death(2);
  cells.recover();
  cells.start_anew(2, 2);
  cells.read(2, 1);
  EXPECT_FALSE(cells[2].is_member());  // not before the master has said so
  cells.recover();
  for (CellId cell = 0; cell < 3; ++cell) {
    EXPECT_EQ(cells[cell].phase(), Phase::settled);
    EXPECT_EQ(cells[cell].settled()[2], live_life(2));
    EXPECT_EQ(cells[cell].settled().epoch(3), 3U);
  }
}

TEST(MemberCore, AJoinerWhoseMasterDiesIsStillTakenIn) {
  Cells cells(3);
  cells.die(2);
  cells.tell_death(2);
  cells.recover();
  cells.start_anew(2, 2);
  cells.read(2, 0);
  cells.read(2, 1);
  cells.read(0, 2);  // the master takes it in
  EXPECT_EQ(cells[0].view()[2], live_life(2));
  cells.read(2, 0);
  EXPECT_TRUE(cells[2].is_member());
  cells.die(0);  // cell 1 has not heard of it
  cells.tell_death(0);
  cells.recover();
  EXPECT_EQ(cells[1].settled()[2], live_life(2));
  EXPECT_EQ(cells[1].settled(), cells[2].settled());
  EXPECT_EQ(cells[1].settled().live().bits(), 0b110U);
}

TEST(MemberCore, TheBoardOfADeadIncarnationCountsForNothing) {
  Cells cells(3);
  const Board stale = cells[2].board();
  cells.die(2);
  cells.tell_death(2);
  cells.recover();
  cells.start_anew(2, 2);
  cells.recover();
  ASSERT_EQ(cells[0].view()[2], live_life(2));
  const View before = cells[0].view();
  EXPECT_FALSE(cells[0].read(2, stale, cells.now));
  EXPECT_EQ(cells[0].view(), before);
  EXPECT_EQ(cells[0].phase(), Phase::settled);
}

}  // namespace
}  // namespace hive::cell
