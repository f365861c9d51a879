#include "home_fixture.h"

namespace hive::cell::test {
namespace {

TEST_F(HomeTest, AFirstTouchGives64KibAround) {
  const auto a = attach();
  make(a, "before", 5);
  const auto s = make(a, "s", 40);
  const std::uint32_t touched = 20;
  ASSERT_TRUE(load_fault(a, touched));
  for (std::uint32_t p = 0; p < 48; ++p) {
    EXPECT_EQ(a.space->load(p).has_value(), p >= 16 && p < 32) << p;
  }
  ASSERT_TRUE(load_fault(a, 7));  // the block is clipped to the segment, which begins at page 5
  EXPECT_FALSE(a.space->load(4));
  EXPECT_TRUE(a.space->load(5));
  ASSERT_TRUE(load_fault(a, 44));
  EXPECT_FALSE(a.space->load(45));
  EXPECT_EQ(s.pages.first, 5u);
}

TEST_F(HomeTest, AFaultThatComesAgainIsServedWhateverTheHomeBelieves) {
  const auto a = attach();
  make(a, "s", 4);
  ASSERT_TRUE(load_fault(a, 1));
  a.space->die();  // its tables lose everything, as by a wild madvise
  const auto again = load_fault(a, 1);
  EXPECT_EQ(code_of(again), Code::not_found);
  EXPECT_STREQ(again.error().cause, proto::cause::process_gone);
}

TEST_F(HomeTest, ATouchOutsideOfOpenSegmentsIsNotFound) {
  const auto a = attach();
  const auto b = attach();
  const auto s = make(a, "s", 4);
  EXPECT_EQ(code_of(load_fault(a, 4)), Code::not_found);
  EXPECT_EQ(code_of(load_fault(b, 0)), Code::not_found);
  EXPECT_EQ(code_of(home->fault(a.id, 0, false, 0)), Code::not_found);
  EXPECT_EQ(code_of(home->fault(a.id, ~std::uint64_t{0}, false, 0)), Code::not_found);
  EXPECT_EQ(code_of(home->fault(a.id, layout.user_end(self), false, 0)), Code::not_found);
  EXPECT_EQ(code_of(home->fault(a.id, layout.user_begin(0), false, 0)), Code::not_found);
  EXPECT_EQ(code_of(home->fault(12345, address(0), false, 0)), Code::not_found);
  EXPECT_TRUE(home->give(a.id, s.id, 0, 4));
  EXPECT_TRUE(a.space->load(3));
  EXPECT_EQ(code_of(home->give(a.id, s.id, 0, 5)), Code::bad_argument);
  EXPECT_EQ(code_of(home->give(a.id, s.id, 0, ~std::uint64_t{0})), Code::bad_argument);
  EXPECT_EQ(code_of(home->give(a.id, s.id, ~std::uint64_t{0}, 2)), Code::bad_argument);
  EXPECT_EQ(code_of(home->give(a.id, s.id, 0, 0)), Code::bad_argument);
}

TEST_F(HomeTest, AStoreNeedsAWindowAndOneWithoutIsNamed) {
  const auto a = attach(2, 77);
  const auto s = make(a, "target", 4);
  ASSERT_TRUE(load_fault(a, 2));
  EXPECT_FALSE(a.space->store(2, 1));
  const auto stopped = home->fault(a.id, address(2) + 8, true, 0xabcd);
  EXPECT_EQ(code_of(stopped), Code::refused);
  const auto* ring = reinterpret_cast<const BlockedRing*>(home->root()->blocked);
  ASSERT_EQ(ring->total, 1u);
  const BlockedStore& line = ring->lines[0];
  EXPECT_EQ(line.number, 1u);
  EXPECT_EQ(line.task, 77u);
  EXPECT_EQ(line.cell, 2);
  EXPECT_EQ(line.home, self);
  EXPECT_EQ(line.instruction, 0xabcdu);
  EXPECT_EQ(line.address, address(2) + 8);
  EXPECT_EQ(line.page, 2u);
  EXPECT_EQ(line.segment, s.id);
  EXPECT_STREQ(line.program.data(), "tester");
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find("task 77 (tester) of cell 2"), std::string::npos) << log[0];
  EXPECT_NE(log[0].find("segment target"), std::string::npos) << log[0];

  auto window = open(a, s, 2, 1);
  ASSERT_TRUE(window);
  EXPECT_TRUE(a.space->store(2, 1));
  EXPECT_FALSE(a.space->store(1, 1));
  EXPECT_TRUE(home->commit_window(a.id, *window));
  EXPECT_FALSE(a.space->store(2, 2));
  EXPECT_EQ(a.space->load(2), 1u);
  EXPECT_EQ(code_of(home->commit_window(a.id, *window)), Code::not_found);
}

TEST_F(HomeTest, AStrayStoreIsWrittenDownWhereverItWasAimedAt) {
  const auto a = attach(2, 77);
  EXPECT_EQ(code_of(home->fault(a.id, address(9), true, 1)), Code::not_found);
  EXPECT_EQ(code_of(home->fault(a.id, layout.kernel_begin(3), true, 2)), Code::not_found);
  EXPECT_EQ(code_of(home->fault(a.id, address(9), false, 3)), Code::not_found);
  const auto* ring = reinterpret_cast<const BlockedRing*>(home->root()->blocked);
  ASSERT_EQ(ring->total, 2u);
  EXPECT_EQ(ring->lines[0].segment, 0u);
  EXPECT_EQ(ring->lines[0].page, 9u);
  EXPECT_EQ(ring->lines[1].home, 3);
  EXPECT_EQ(ring->lines[1].page, no_page);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(home->fault(a.id, address(9), true, 1));
  }
  EXPECT_LT(log.size(), 100u) << "the log is flooded";
}

TEST_F(HomeTest, ALostPageInAWindowComesBackWritable) {
  const auto a = attach();
  const auto s = make(a, "s", 4);
  ASSERT_TRUE(open(a, s, 0, 4));
  ASSERT_TRUE(node.take_back({1, 1}));
  ASSERT_TRUE(node.refill({1, 1}));
  EXPECT_FALSE(a.space->store(1, 5));
  EXPECT_TRUE(home->fault(a.id, address(1), true, 0));
  EXPECT_TRUE(a.space->store(1, 5));
}

TEST_F(HomeTest, TheBlockedRingKeepsTheNewest) {
  const auto a = attach();
  make(a, "s", 1);
  for (std::uint64_t i = 0; i < blocked_lines + 5; ++i) {
    EXPECT_EQ(code_of(home->fault(a.id, address(0), true, i)), Code::refused);
  }
  const auto* ring = reinterpret_cast<const BlockedRing*>(home->root()->blocked);
  EXPECT_EQ(ring->total, blocked_lines + 5);
  EXPECT_EQ(ring->lines[4].number, blocked_lines + 5);
  EXPECT_EQ(ring->lines[4].instruction, blocked_lines + 4);
  EXPECT_EQ(ring->lines[5].number, 6u);
}

TEST_F(HomeTest, ExclusiveWindowsDoNotOverlapAndSharedOnesMay) {
  const auto a = attach();
  const auto b = attach();
  const auto s = make(a, "s", 8);
  ASSERT_TRUE(home->open_segment(b.id, "s"));
  const auto first = open(a, s, 0, 4);
  ASSERT_TRUE(first);
  const auto busy = open(b, s, 3, 2);
  EXPECT_EQ(code_of(busy), Code::busy);
  EXPECT_STREQ(busy.error().cause, proto::cause::window_held);
  EXPECT_EQ(code_of(open(b, s, 3, 2, WindowMode::shared)), Code::busy);
  EXPECT_EQ(code_of(open(a, s, 0, 1)), Code::busy);
  EXPECT_TRUE(open(b, s, 4, 4));
  EXPECT_TRUE(home->commit_window(a.id, *first));
  EXPECT_TRUE(open(a, s, 0, 2, WindowMode::shared));
  EXPECT_TRUE(open(b, s, 1, 2, WindowMode::shared));
  EXPECT_EQ(code_of(open(b, s, 0, 1)), Code::busy);
  EXPECT_EQ(home->root()->pages_open_others, 4u + 2 + 2);
}

TEST_F(HomeTest, WindowsOutsideTheSegmentAreRefused) {
  const auto a = attach();
  make(a, "before", 2);
  const auto s = make(a, "s", 4);
  make(a, "after", 2);
  EXPECT_EQ(code_of(open(a, s, 4, 1)), Code::bad_argument);
  EXPECT_EQ(code_of(open(a, s, 3, 2)), Code::bad_argument);
  EXPECT_EQ(code_of(open(a, s, 0, 0)), Code::bad_argument);
  EXPECT_EQ(code_of(home->open_window(a.id, s.id, 2, ~std::uint64_t{0} - 1, WindowMode::shared)),
            Code::bad_argument);
  EXPECT_EQ(code_of(home->open_window(a.id, 999, 2, 1, WindowMode::shared)), Code::not_found);
}

TEST_F(HomeTest, SharedWindowsOfOneClientCloseOnlyWhatNoOtherHasOpen) {
  const auto a = attach();
  const auto s = make(a, "s", 8);
  const auto wide = open(a, s, 0, 8, WindowMode::shared);
  const auto narrow = open(a, s, 2, 2, WindowMode::shared);
  ASSERT_TRUE(wide && narrow);
  EXPECT_TRUE(home->commit_window(a.id, *wide));
  for (std::uint32_t p = 0; p < 8; ++p) EXPECT_EQ(a.space->store(p, 1), p == 2 || p == 3) << p;
  EXPECT_TRUE(home->commit_window(a.id, *narrow));
  EXPECT_FALSE(a.space->store(2, 1));
}

TEST_F(HomeTest, AWindowIsNobodyElses) {
  const auto a = attach();
  const auto b = attach();
  const auto s = make(a, "s", 2);
  const auto window = open(a, s, 0, 2);
  ASSERT_TRUE(window);
  EXPECT_EQ(code_of(home->commit_window(b.id, *window)), Code::not_found);
  EXPECT_EQ(code_of(home->abort_window(b.id, *window)), Code::not_found);
  EXPECT_TRUE(a.space->store(0, 1));
}

TEST_F(HomeTest, ADeathInsideAWindowTearsItsRangeAndNothingElse) {
  const auto a = attach();
  const auto b = attach();
  const auto s = make(a, "s", 8);
  ASSERT_TRUE(home->open_segment(b.id, "s"));
  ASSERT_TRUE(load_fault(b, 0));
  const auto window = open(a, s, 2, 3);
  ASSERT_TRUE(window);
  ASSERT_TRUE(a.space->store(2, 9));
  kill(a);
  EXPECT_FALSE(b.space->load(2)) << "torn pages are taken from everybody";
  EXPECT_EQ(b.space->load(5), 0u);
  const auto lost = load_fault(b, 3);
  ASSERT_EQ(code_of(lost), Code::lost);
  EXPECT_EQ(lost.error().lost_range.offset, 3 * page);
  EXPECT_EQ(lost.error().lost_range.length, 2 * page);
  EXPECT_EQ(lost.error().cell, self);
  const auto closed = open(b, s, 0, 8);
  ASSERT_EQ(code_of(closed), Code::lost);
  EXPECT_EQ(closed.error().lost_range.offset, 2 * page);
  EXPECT_EQ(closed.error().lost_range.length, 3 * page);
  EXPECT_TRUE(open(b, s, 5, 3));
  EXPECT_EQ(code_of(home->give(b.id, s.id, 0, 8)), Code::lost);
  EXPECT_EQ(home->root()->pages_torn, 3u);
  EXPECT_EQ(node.times_taken_back(2), 1u);
}

TEST_F(HomeTest, ADeathWithoutWindowsChangesNoPage) {
  const auto a = attach();
  const auto b = attach();
  const auto s = make(a, "s", 8);
  ASSERT_TRUE(home->open_segment(b.id, "s"));
  ASSERT_TRUE(load_fault(b, 0));
  const auto window = open(a, s, 0, 8);
  ASSERT_TRUE(a.space->store(1, 3));
  ASSERT_TRUE(home->commit_window(a.id, *window));
  kill(a);
  EXPECT_EQ(b.space->load(1), 3u);
  for (std::uint32_t p = 0; p < 8; ++p) EXPECT_EQ(node.times_taken_back(p), 0u);
  EXPECT_TRUE(open(b, s, 0, 8));
}

TEST_F(HomeTest, ResetGivesNewPagesAndLeavesOthersAlone) {
  const auto a = attach();
  const auto b = attach();
  const auto s = make(a, "s", 8);
  ASSERT_TRUE(home->open_segment(b.id, "s"));
  auto window = open(a, s, 0, 8);
  for (std::uint32_t p = 0; p < 8; ++p) ASSERT_TRUE(a.space->store(p, 100 + p));
  ASSERT_TRUE(home->commit_window(a.id, *window));
  ASSERT_TRUE(load_fault(b, 0));
  ASSERT_TRUE(open(a, s, 1, 2));
  ASSERT_TRUE(open(a, s, 5, 1));
  kill(a);
  EXPECT_TRUE(reset(b, s, 0, 8));
  EXPECT_EQ(home->root()->pages_torn, 0u);
  ASSERT_TRUE(load_fault(b, 1)) << "a stale belief that it was given";
  ASSERT_TRUE(load_fault(b, 5));
  for (std::uint32_t p = 0; p < 8; ++p) {
    EXPECT_EQ(b.space->load(p), p == 1 || p == 2 || p == 5 ? 0 : 100 + p) << p;
  }
  EXPECT_TRUE(reset(b, s, 0, 8)) << "nothing to do is no error";
  EXPECT_TRUE(open(b, s, 0, 8));
  EXPECT_EQ(code_of(reset(b, s, 0, 8)), Code::busy);
  EXPECT_EQ(code_of(reset(b, s, 0, 9)), Code::bad_argument);
}

TEST_F(HomeTest, AbortTearsAndSoDoesTheLastClose) {
  const auto a = attach();
  const auto b = attach();
  const auto s = make(a, "s", 8);
  ASSERT_TRUE(home->open_segment(b.id, "s"));
  const auto window = open(a, s, 0, 1);
  EXPECT_TRUE(home->abort_window(a.id, *window));
  EXPECT_EQ(code_of(load_fault(b, 0)), Code::lost);
  EXPECT_EQ(code_of(load_fault(a, 0)), Code::lost);
  EXPECT_FALSE(a.space->store(0, 1));
  ASSERT_TRUE(open(a, s, 4, 1));
  EXPECT_TRUE(home->close_segment(a.id, s.id));
  EXPECT_EQ(code_of(load_fault(b, 4)), Code::lost);
  EXPECT_FALSE(a.space->store(4, 1));
}

TEST_F(HomeTest, IfOneHolderOfASharedWindowDiesTheOthersLoseIt) {
  const auto a = attach();
  const auto b = attach();
  const auto c = attach();
  const auto s = make(a, "s", 8);
  ASSERT_TRUE(home->open_segment(b.id, "s"));
  ASSERT_TRUE(home->open_segment(c.id, "s"));
  ASSERT_TRUE(open(a, s, 2, 2, WindowMode::shared));
  const auto survivor = open(b, s, 0, 8, WindowMode::shared);
  const auto beside = open(c, s, 5, 2, WindowMode::shared);
  ASSERT_TRUE(survivor && beside);
  kill(a);
  EXPECT_FALSE(b.space->store(2, 1));
  EXPECT_TRUE(b.space->store(0, 1));
  EXPECT_EQ(code_of(home->fault(b.id, address(2), true, 0)), Code::lost);
  EXPECT_EQ(code_of(reset(b, s, 2, 2)), Code::busy) << "before the holder knows";
  const auto lost = home->commit_window(b.id, *survivor);
  ASSERT_EQ(code_of(lost), Code::lost);
  EXPECT_EQ(lost.error().lost_range.offset, 2 * page);
  EXPECT_EQ(lost.error().lost_range.length, 2 * page);
  EXPECT_FALSE(b.space->store(0, 2)) << "what was not torn is closed all the same";
  EXPECT_TRUE(home->commit_window(c.id, *beside));
  EXPECT_TRUE(reset(b, s, 0, 8));
  EXPECT_EQ(b.space->load(0), 1u);
}

TEST_F(HomeTest, ACellThatFailsTearsTheWindowsOfAllItsClients) {
  const auto own = attach(self);
  const auto a = attach(2, 1);
  const auto b = attach(2, 2);
  const auto c = attach(3, 3);
  const auto s = make(own, "s", 16);
  for (const auto& client : {a, b, c}) ASSERT_TRUE(home->open_segment(client.id, "s"));
  ASSERT_TRUE(open(a, s, 0, 2));
  ASSERT_TRUE(open(b, s, 2, 2));
  const auto kept = open(c, s, 4, 2);
  ASSERT_TRUE(kept);
  EXPECT_EQ(home->root()->clients, 4u);
  home->on_cell_down(2);
  EXPECT_EQ(home->root()->clients, 2u);
  EXPECT_EQ(home->root()->pages_torn, 4u);
  EXPECT_EQ(code_of(load_fault(c, 1)), Code::lost);
  EXPECT_TRUE(home->commit_window(c.id, *kept));
  home->remove_client(a.id, Leave::died);  // heard of once more; nothing happens
  home->on_cell_down(2);
  EXPECT_TRUE(reset(own, s, 0, 16));
}

TEST_F(HomeTest, PublishesWhoCouldDestroyWhat) {
  const auto own = attach(self, 5);
  const auto other = attach(3, 9);
  const auto s = make(own, "s", 16);
  ASSERT_TRUE(home->open_segment(other.id, "s"));
  const auto w = open(own, s, 1, 2);
  ASSERT_TRUE(open(other, s, 8, 4, WindowMode::shared));
  const auto* table = reinterpret_cast<const WindowTable*>(home->root()->windows);
  EXPECT_EQ(table->tag.type, WindowTable::type);
  EXPECT_EQ(table->open, 2u);
  ASSERT_EQ(table->slots_used, 2u);
  EXPECT_EQ(table->slots[0].task, 5u);
  EXPECT_EQ(table->slots[0].cell, self);
  EXPECT_EQ(table->slots[1].task, 9u);
  EXPECT_EQ(table->slots[1].segment, s.id);
  EXPECT_EQ(table->slots[1].first_page, s.pages.first + 8);
  EXPECT_EQ(table->slots[1].pages, 4u);
  EXPECT_EQ(table->slots[1].mode, static_cast<std::uint32_t>(WindowMode::shared));
  EXPECT_EQ(table->slots[1].version % 2, 0u);
  EXPECT_GT(table->slots[1].opened_at_ns, 0u);
  EXPECT_EQ(home->root()->pages_open_own, 2u);
  EXPECT_EQ(home->root()->pages_open_others, 4u);
  ASSERT_TRUE(home->commit_window(own.id, *w));
  EXPECT_EQ(table->slots[0].task, 0u);
  EXPECT_EQ(table->open, 1u);
  EXPECT_EQ(home->root()->pages_open_own, 0u);
}

}  // namespace
}  // namespace hive::cell::test
