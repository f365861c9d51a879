// Views: single frames of a node side by side at other addresses of a task, behind the same fence.
#include <gtest/gtest.h>

#include "tests/machine/firewall_world.h"
#include "tests/machine/memory_audit.h"

namespace hive::test {
namespace {

class ViewTest : public WorldTest {
 protected:
  void SetUp() override {
    WorldTest::SetUp();
    if (IsSkipped()) return;
    for (std::uint32_t page = 0; page < 64; ++page) {
      world_->put(page, static_cast<std::uint8_t>(page));
    }
  }
  void open_at(std::uint32_t at) {
    ASSERT_EQ(world_->open_at(at, 1), 0);
    ASSERT_EQ(world_->let_stores(at, true), 0);
  }
};

TEST_P(ViewTest, FramesThatLieApartLieSideBySide) {
  ASSERT_EQ(world_->show(0, {40, 1}), 0);
  ASSERT_EQ(world_->show(1, {7, 2}), 0);
  ASSERT_EQ(world_->give_at(0, 3), 3) << "three pages in two mappings";
  EXPECT_EQ(world_->load_at(0), 40);
  EXPECT_EQ(world_->load_at(1), 7);
  EXPECT_EQ(world_->load_at(2), 8);
  EXPECT_EQ(world_->load(40), -1) << "at its own address it was not given";
}

TEST_P(ViewTest, NothingIsThereUntilItIsGivenAndNoStoreGetsThrough) {
  EXPECT_EQ(world_->load_at(5), -1) << "nothing is shown there";
  ASSERT_EQ(world_->show(5, {20, 2}), 0);
  EXPECT_EQ(world_->load_at(5), -1);
  EXPECT_FALSE(world_->store_at(5, 99));
  ASSERT_EQ(world_->give_at(5, 1), 1);
  EXPECT_EQ(world_->load_at(5), 20);
  EXPECT_EQ(world_->load_at(6), -1);
  EXPECT_FALSE(world_->store_at(5, 99));
  ASSERT_EQ(world_->let_stores(5, true), 0);
  EXPECT_FALSE(world_->store_at(5, 99)) << "its own protection was all there was";
  EXPECT_EQ(world_->content(20), 20);
}

TEST_P(ViewTest, AnOpenPageTakesStoresUntilItIsClosed) {
  ASSERT_EQ(world_->show(0, {30, 2}), 0);
  open_at(0);
  EXPECT_TRUE(world_->store_at(0, 99));
  EXPECT_FALSE(world_->store_at(1, 99));
  EXPECT_EQ(world_->content(30), 99);
  ASSERT_EQ(world_->give_at(1, 1), 1);
  EXPECT_TRUE(world_->store_at(0, 98));
  EXPECT_FALSE(world_->store_at(1, 98));
  ASSERT_EQ(world_->close_at(0, 1), 0);
  EXPECT_FALSE(world_->store_at(0, 97));
  EXPECT_EQ(world_->load_at(0), 98);
  open_at(0);
  EXPECT_TRUE(world_->store_at(0, 96)) << "given, and now open";
}

TEST_P(ViewTest, AFrameIsTakenBackFromAllAddresses) {
  ASSERT_EQ(world_->show(0, {30, 1}), 0);
  ASSERT_EQ(world_->show(9, {30, 1}), 0);
  ASSERT_EQ(world_->give({30, 1}), 1);
  open_at(0);
  open_at(9);
  EXPECT_TRUE(world_->store_at(0, 50));
  EXPECT_EQ(world_->load_at(9), 50);
  ASSERT_EQ(world_->take_back({30, 1}), 0);
  EXPECT_FALSE(world_->store_at(0, 51));
  EXPECT_EQ(world_->load_at(9), -1);
  EXPECT_EQ(world_->load(30), -1);
  EXPECT_EQ(world_->open_at(0, 1), 1 + static_cast<std::int64_t>(Code::lost)) << "a hole";
  ASSERT_EQ(world_->refill({30, 1}), 0);
  EXPECT_EQ(world_->load_at(0), -1) << "new memory is not there until it is given";
  ASSERT_EQ(world_->give_at(0, 1), 1);
  EXPECT_EQ(world_->load_at(0), 0);
}

TEST_P(ViewTest, WhatIsShownNextHidesWhatWasThere) {
  ASSERT_EQ(world_->show(0, {30, 4}), 0);
  open_at(0);
  ASSERT_EQ(world_->show(0, {50, 1}), 0);
  EXPECT_EQ(world_->load_at(0), -1);
  EXPECT_FALSE(world_->store_at(0, 99));
  ASSERT_EQ(world_->give_at(0, 4), 4);
  EXPECT_EQ(world_->load_at(0), 50);
  EXPECT_EQ(world_->load_at(1), 31);
}

TEST_P(ViewTest, IsReadOnlyWhereNoStoresAreMeant) {
  if (GetParam() == FirewallMode::mmu_windowed) GTEST_SKIP() << "let_stores() has the last word";
  ASSERT_EQ(world_->show(0, {30, 1}, false), 0);
  ASSERT_EQ(world_->open_at(0, 1), 0);
  EXPECT_FALSE(world_->store_at(0, 99));
  EXPECT_EQ(world_->load_at(0), 30);
}

TEST_P(ViewTest, TheHomeTouchesNothingOutsideTheViews) {
  const auto refused = static_cast<std::int64_t>(Code::bad_argument);
  const std::uint32_t before = ~std::uint32_t{0};
  EXPECT_EQ(world_->show(0, {world_layout.user_pages() - 1, 2}), 1 + refused);
  EXPECT_EQ(world_->open_at(before, 1), 1 + refused);
  EXPECT_EQ(world_->give_at(77, 1), -1 - static_cast<std::int64_t>(Code::not_found))
      << "nothing is shown there";
}

TEST_P(ViewTest, EveryMappingIsFencedAndStaysInItsProcess) {
  ASSERT_EQ(world_->show(0, {30, 4}), 0);
  ASSERT_EQ(world_->show(2, {9, 1}), 0);
  ASSERT_EQ(world_->give_at(0, 4), 4);
  const auto faults = audit_node_mappings(world_->task.pid());
  EXPECT_TRUE(faults.empty()) << faults.front();
}

INSTANTIATE_TEST_SUITE_P(Modes, ViewTest,
                         testing::Values(FirewallMode::mmu, FirewallMode::mmu_windowed),
                         [](const auto& mode) { return mode_test_name(mode.param); });

}  // namespace
}  // namespace hive::test
