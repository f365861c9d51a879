// The rules of ballots one by one, by hand-made inputs. docs/agreement.md has them.
#include <gtest/gtest.h>

#include "core_cells.h"

namespace hive::cell {
namespace {

TEST(MemberCore, AMajoritySwitchesOffACellThatHangs) {
  Cells cells(3);
  cells.silent.add(2);
  cells[0].on_hint(2, Hint::clock, cells.now);
  EXPECT_EQ(cells.orders(0, What::probe).size(), 1U);
  cells[0].on_probe(2, 1, Found::guilty, cells.now);
  EXPECT_TRUE(cells.orders(0, What::power_off).empty());  // alone with what it saw
  cells.spread();
  EXPECT_EQ(cells.orders(1, What::probe).size(), 1U);  // sees for itself
  cells[1].on_probe(2, 1, Found::guilty, cells.now);
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
    cells[by].on_probe(2, 1, Found::sound, cells.now);
    cells.spread();
  }
  EXPECT_EQ(cells.orders(0, What::power_off).size(), 1U);
}

TEST(MemberCore, AProbeOfALifeThatIsOverSaysNothingOfTheNext) {
  Cells cells(3);
  cells[0].on_hint(2, Hint::clock, cells.now);
  EXPECT_EQ(cells.orders(0, What::probe).size(), 1U);
  cells.die(2);
  cells.tell_death(2);
  cells.recover();
  cells.start_anew(2, 2);
  cells.recover();
  ASSERT_EQ(cells[0].view().live().count(), 3);
  cells[0].on_hint(2, Hint::clock, cells.now);
  const auto orders = cells.orders(0, What::probe);
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_EQ(orders[0].number, 2U);
  cells[0].on_probe(2, 1, Found::guilty, cells.now);  // late
  EXPECT_EQ(cells[0].board().opinion(2).verdict, Verdict::none);
  cells[0].on_probe(2, 2, Found::guilty, cells.now);
  EXPECT_EQ(cells[0].board().opinion(2).verdict, Verdict::guilty);
}

TEST(MemberCore, ACellThatNobodyElseFindsGuiltyIsLeftAlone) {
  Cells cells(3);
  cells[0].on_hint(2, Hint::clock, cells.now);
  cells[0].on_probe(2, 1, Found::sound, cells.now);
  EXPECT_FALSE(cells[0].has_open_ballot());
  cells[0].accuse(2, Hint::clock, cells.now);
  cells.spread();
  cells[1].on_probe(2, 1, Found::sound, cells.now);  // one against one
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

// On two processors, 62 cells do not get to look within the time of one.

TEST(MemberCore, EachSilentVoterIsGivenItsTimeBeforeASingleVoteCounts) {
  Cells cells(64);
  cells.silent = CellSet(~std::uint64_t{1});
  cells[0].accuse(63, Hint::clock, cells.now);
  cells.now += 61 * 200 * ms;
  cells[0].on_tick(cells.now);
  cells[0].on_tick(cells.now + 25 * ms);
  EXPECT_TRUE(cells.orders(0, What::fence).empty());
  cells.silent = CellSet(std::uint64_t{1} << 63);
  for (CellId cell = 1; cell < 40; ++cell) {
    cells.spread();
    cells[cell].on_probe(63, 1, Found::sound, cells.now);
  }
  cells.spread();
  EXPECT_FALSE(cells[0].has_open_ballot());
  EXPECT_TRUE(cells.orders(0, What::power_off).empty());
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

// While a third could vote, the accused has no say; it is not too late for it when that one dies.
TEST(MemberCore, TheAccusedHasItsTimeAnewWhenTheOthersHaveGone) {
  Cells cells(3);
  cells.die(2);
  cells.tell_death(2);
  cells.recover();
  cells[0].accuse(1, Hint::clock, cells.now);
  cells.start_anew(2, 2);
  cells.recover();
  ASSERT_EQ(cells[0].view().live().count(), 3);
  cells.silent.add(2);
  cells.now += 50 * ms;
  cells[0].on_tick(cells.now);
  cells.die(2);
  cells.tell_death(2);
  EXPECT_TRUE(cells.orders(0, What::fence).empty());
  cells.now += 25 * ms;
  cells[0].on_tick(cells.now);
  EXPECT_EQ(cells.orders(0, What::fence).size(), 1U);
}

// Cell 0 accuses, cell 1 finds nothing.
void accuse_falsely(Cells& cells, CellId accused) {
  cells[0].accuse(accused, Hint::clock, cells.now);
  cells.spread();
  for (CellId cell = 1; cell < 4; ++cell) {
    cells[cell].on_probe(accused, 1, Found::sound, cells.now);
  }
  cells.spread();
  for (CellId cell = 1; cell < 4; ++cell) cells[cell].on_probe(0, 1, Found::sound, cells.now);
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
  cells[0].on_probe(1, 1, Found::sound, cells.now);  // it gets on, but what it says is wrong
  EXPECT_EQ(cells[0].board().opinion(1).verdict, Verdict::guilty);
  board = cells[1].board();
  board.phase = Phase::count_;
  EXPECT_FALSE(cells[0].read(1, board, cells.now));
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

}  // namespace
}  // namespace hive::cell
