// When a cell borrows, of whom, and how many.

#include <gtest/gtest.h>

#include "cell/borrow/borrow_policy.h"

namespace hive::cell::test {
namespace {

TEST(BorrowPolicy, ManyPagesThatAreWantedAgainSoonAreASignOfPressure) {
  BorrowPolicy policy;
  const std::uint64_t begin = 100 * ns_per_s;
  for (std::uint32_t i = 1; i < refaults_to_borrow; ++i) EXPECT_FALSE(policy.note_refault(begin));
  EXPECT_TRUE(policy.note_refault(begin));
  EXPECT_FALSE(policy.note_refault(begin)) << "they are counted anew";
}

TEST(BorrowPolicy, AsManyOverALongTimeAreNone) {
  BorrowPolicy policy;
  for (std::uint64_t i = 0; i < 10 * refaults_to_borrow; ++i) {
    EXPECT_FALSE(policy.note_refault(i * refault_period_ns / 10));
  }
}

TEST(BorrowPolicy, WhoNeedsMoreSoonAsksForMore) {
  BorrowPolicy policy;
  EXPECT_EQ(policy.frames_to_ask(ns_per_s, 10000), borrow_frames_first);
  EXPECT_EQ(policy.frames_to_ask(ns_per_s + 1, 10000), 2 * borrow_frames_first);
  EXPECT_EQ(policy.frames_to_ask(ns_per_s + 2, 10000), 4 * borrow_frames_first);
  for (int i = 0; i < 10; ++i) (void)policy.frames_to_ask(ns_per_s + 3, 10000);
  EXPECT_EQ(policy.frames_to_ask(ns_per_s + 4, 10000), loan_frames_max);
  EXPECT_EQ(policy.frames_to_ask(ns_per_s + 5, 7), 7U);
  EXPECT_EQ(policy.frames_to_ask(100 * ns_per_s, 10000), borrow_frames_first);
}

TEST(BorrowPolicy, TheLenderIsTheOneWithMostToSpare) {
  const std::vector<LenderOffer> offers{{1, 1, 300}, {2, 1, 700}, {3, 1, 500}};
  EXPECT_EQ(choose_lender(offers, 1000)->cell, 2);
  EXPECT_FALSE(choose_lender({}, 1000));
  const std::vector<LenderOffer> poor{{1, 1, 1000 / 8 + borrow_frames_min - 1}};
  EXPECT_FALSE(choose_lender(poor, 1000)) << "it needs them itself";
  const std::vector<LenderOffer> liar{{1, 1, 1001}, {2, 1, 700}};
  EXPECT_EQ(choose_lender(liar, 1000)->cell, 2);
}

TEST(BorrowPolicy, ALenderKeepsAnEighth) {
  EXPECT_EQ(frames_to_spare(800, 800), 700U);
  EXPECT_EQ(frames_to_spare(100, 800), 0U);
  EXPECT_EQ(frames_to_spare(101, 800), 1U);
  EXPECT_EQ(frames_to_spare(0, 0), 0U);
}

}  // namespace
}  // namespace hive::cell::test
