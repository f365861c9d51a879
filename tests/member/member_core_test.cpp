// The rules of agreement and recovery one by one, by hand-made inputs. docs/agreement.md has them.
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
  cells[0].on_probe(1, found, cells.now);
  return cells[0].has_open_ballot();
}

TEST(MemberCore, WhoIsLateAtABarrierIsAccusedThoughItsClockGoesOn) {
  EXPECT_FALSE(is_accused_after(900 * ms, Found::sound));
  EXPECT_TRUE(is_accused_after(1'100 * ms, Found::sound));
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

TEST(MemberCore, AMajoritySwitchesOffACellThatHangs) {
  Cells cells(3);
  cells.silent.add(2);
  cells[0].on_hint(2, Hint::clock, cells.now);
  EXPECT_EQ(cells.orders(0, What::probe).size(), 1U);
  cells[0].on_probe(2, Found::guilty, cells.now);
  EXPECT_TRUE(cells.orders(0, What::power_off).empty());  // alone with what it saw
  cells.spread();
  EXPECT_EQ(cells.orders(1, What::probe).size(), 1U);  // sees for itself
  cells[1].on_probe(2, Found::guilty, cells.now);
  cells.spread();
  EXPECT_EQ(cells.orders(0, What::power_off).size(), 1U);
  EXPECT_EQ(cells[0].view(), View::first(3));  // an order is not a death
}

TEST(MemberCore, ABoardThatNobodyCanReadIsGuiltyThoughItsClockGoesOn) {
  Cells cells(3);
  cells.silent.add(2);
  for (const CellId by : {0, 1}) {
    cells[by].on_hint(2, Hint::corrupt, cells.now);
    EXPECT_EQ(cells.orders(by, What::probe).size(), 1U);
    cells[by].on_probe(2, Found::sound, cells.now);
    cells.spread();
  }
  EXPECT_EQ(cells.orders(0, What::power_off).size(), 1U);
}

TEST(MemberCore, ACellThatNobodyElseFindsGuiltyIsLeftAlone) {
  Cells cells(3);
  cells[0].on_hint(2, Hint::clock, cells.now);
  cells[0].on_probe(2, Found::sound, cells.now);
  EXPECT_FALSE(cells[0].has_open_ballot());
  cells[0].accuse(2, Hint::clock, cells.now);
  cells.spread();
  cells[1].on_probe(2, Found::sound, cells.now);  // one against one
  cells.spread();
  EXPECT_FALSE(cells[0].has_open_ballot());
  EXPECT_EQ(cells[0].voted_down(), 1U);
  EXPECT_TRUE(cells.orders(0, What::power_off).empty());
}

TEST(MemberCore, WhoeverGetsTheLockDecidesWhenTheOthersAreSilent) {
  Cells cells(3);
  cells.silent = CellSet(0b110);
  cells[0].accuse(2, Hint::clock, cells.now);
  cells.now += 200 * ms;
  cells[0].on_tick(cells.now);
  EXPECT_TRUE(cells.orders(0, What::fence).empty());  // the accused comes first
  cells.now += 25 * ms;
  cells[0].on_tick(cells.now);
  const auto first = cells.orders(0, What::fence);
  ASSERT_EQ(first.size(), 1U);
  cells[0].on_fence(2, first[0].ballot, false, cells.now);
  EXPECT_TRUE(cells.orders(0, What::fence).empty());
  cells.now += 5 * ms;
  cells[0].on_tick(cells.now);
  const auto again = cells.orders(0, What::fence);
  ASSERT_EQ(again.size(), 1U);
  cells[0].on_fence(2, again[0].ballot, true, cells.now);
  EXPECT_EQ(cells[0].board().opinion(2).verdict, Verdict::decided_guilty);
  EXPECT_EQ(cells.orders(0, What::power_off).size(), 1U);
}

TEST(MemberCore, AnAccusedThatReadsItContestsWhenItsVotersAreSilent) {
  Cells cells(3);
  cells.silent.add(1);
  cells[0].accuse(2, Hint::clock, cells.now);
  cells.spread();
  EXPECT_TRUE(cells.orders(2, What::fence).empty());  // cell 1 may still speak
  cells.now += 200 * ms;
  cells.tick_all();
  const auto contest = cells.orders(2, What::fence);
  ASSERT_EQ(contest.size(), 1U);
  EXPECT_EQ(contest[0].cell, 2);
  cells[2].on_fence(2, contest[0].ballot, true, cells.now);
  cells.spread();
  EXPECT_FALSE(cells[0].has_open_ballot());
  EXPECT_TRUE(cells.orders(0, What::power_off).empty());
}

TEST(MemberCore, OfTwoCellsTheAccusedContestsAtOnce) {
  Cells cells(2);
  cells[0].accuse(1, Hint::clock, cells.now);
  cells.spread();
  const auto contest = cells.orders(1, What::fence);
  ASSERT_EQ(contest.size(), 1U);
  cells[1].on_fence(1, contest[0].ballot, true, cells.now);
  cells.spread();
  cells.now += 1'000 * ms;
  cells.tick_all();
  EXPECT_TRUE(cells.orders(0, What::power_off).empty());
  EXPECT_FALSE(cells[0].has_open_ballot());
}

TEST(MemberCore, OfTwoCellsOneThatHangsIsSwitchedOff) {
  Cells cells(2);
  cells.silent.add(1);
  cells[0].accuse(1, Hint::clock, cells.now);
  cells[0].on_tick(cells.now + 24 * ms);
  EXPECT_TRUE(cells.orders(0, What::fence).empty());
  cells[0].on_tick(cells.now + 25 * ms);
  const auto fence = cells.orders(0, What::fence);
  ASSERT_EQ(fence.size(), 1U);
  cells[0].on_fence(1, fence[0].ballot, true, cells.now + 25 * ms);
  EXPECT_EQ(cells.orders(0, What::power_off).size(), 1U);
}

// Each of two finds the other guilty, and the second was too late to contest: it may be switched
// off any moment, and whom it condemns would leave nobody.
TEST(MemberCore, ACellThatIsCondemnedDecidesNothing) {
  Cells cells(2);
  cells[0].accuse(1, Hint::clock, cells.now);
  cells[1].accuse(0, Hint::clock, cells.now);
  for (const CellId cell : {0, 1}) cells[cell].on_tick(cells.now + 25 * ms);
  const auto first = cells.orders(0, What::fence);
  const auto second = cells.orders(1, What::fence);
  ASSERT_EQ(first.size(), 1U);
  ASSERT_EQ(second.size(), 1U);
  cells[0].on_fence(1, first[0].ballot, true, cells.now + 25 * ms);
  EXPECT_EQ(cells[0].board().opinion(1).verdict, Verdict::decided_guilty);
  cells.spread();  // under the lock it reads all boards
  cells[1].on_fence(0, second[0].ballot, true, cells.now + 26 * ms);
  EXPECT_EQ(cells[1].board().opinion(0).verdict, Verdict::guilty);
  EXPECT_TRUE(cells.orders(1, What::power_off).empty());
}

// Cell 0 accuses, cell 1 finds nothing.
void accuse_falsely(Cells& cells, CellId accused) {
  cells[0].accuse(accused, Hint::clock, cells.now);
  cells.spread();
  for (CellId cell = 1; cell < 4; ++cell) cells[cell].on_probe(accused, Found::sound, cells.now);
  cells.spread();
  for (CellId cell = 1; cell < 4; ++cell) cells[cell].on_probe(0, Found::sound, cells.now);
  cells.spread();
  cells.now += 1'000 * ms;
}

TEST(MemberCore, TheSecondFalseAlarmMakesTheAccuserTheAccused) {
  Cells cells(4);
  accuse_falsely(cells, 2);
  EXPECT_EQ(cells[1].board().opinion(0).verdict, Verdict::none);
  accuse_falsely(cells, 2);
  EXPECT_EQ(cells[1].board().opinion(0).verdict, Verdict::guilty);
  EXPECT_FALSE(cells.orders(1, What::power_off).empty());
}

TEST(MemberCore, AlarmsAboutDifferentCellsAreForgiven) {
  Cells cells(4);
  accuse_falsely(cells, 2);
  accuse_falsely(cells, 3);
  EXPECT_EQ(cells[1].board().opinion(0).verdict, Verdict::none);
  // A sound cell holds back what would be its second.
  (void)cells[0].take_orders();
  cells[0].on_hint(2, Hint::clock, cells.now);
  EXPECT_TRUE(cells.orders(0, What::probe).empty());
}

TEST(MemberCore, ABoardThatMakesNoSenseIsAHintAgainstItsOwner) {
  Cells cells(3);
  Board board = cells[1].board();
  board.view[2] = dead_life(1);  // which everybody can see is not so
  EXPECT_FALSE(cells[0].read(1, board, cells.now));
  EXPECT_EQ(cells[0].view(), View::first(3));
  EXPECT_EQ(cells.orders(0, What::probe).size(), 1U);
  cells[0].on_probe(1, Found::sound, cells.now);  // it gets on, but what it says is wrong
  EXPECT_EQ(cells[0].board().opinion(1).verdict, Verdict::guilty);
  board = cells[1].board();
  board.phase = Phase::count_;
  EXPECT_FALSE(cells[0].read(1, board, cells.now));
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

TEST(MemberCore, AJoinerVotesOnTheBallotsThatItFinds) {
  Cells cells(4);
  cells.die(3);
  cells.tell_death(3);
  cells.recover();
  cells.silent.add(2);
  cells[0].accuse(2, Hint::clock, cells.now);
  cells.silent.remove(2);
  cells.start_anew(3, 2);
  cells.recover();
  ASSERT_TRUE(cells[3].is_member());
  const auto probes = cells.orders(3, What::probe);
  ASSERT_EQ(probes.size(), 1U);
  EXPECT_EQ(probes[0].cell, 2);
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
