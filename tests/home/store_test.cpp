// Stores that the home makes for a client.

#include <cstring>

#include "home_fixture.h"

namespace hive::cell::test {
namespace {

class StoreTest : public HomeTest {
 protected:
  Result<void> store(const TestClient& client, const SegmentView& s, std::uint64_t offset,
                     std::uint64_t value) {
    return home->store(client.id, s.id, offset, std::as_bytes(std::span(&value, 1)));
  }
};

TEST_F(StoreTest, IsSeenByEverybodyAndOpensNothing) {
  const TestClient a = attach(0, 1);
  const TestClient b = attach(2, 2);
  const SegmentView s = make(a, "s", 4);
  ASSERT_TRUE(home->open_segment(b.id, "s"));
  ASSERT_TRUE(store(b, s, 2 * page, 42));
  ASSERT_TRUE(load_fault(a, s.pages.first + 2));
  EXPECT_EQ(a.space->load(s.pages.first + 2), 42U);
  EXPECT_FALSE(b.space->store(s.pages.first + 2, 43));
  EXPECT_EQ(home->root()->pages_open_others.load(), 0U);
}

TEST_F(StoreTest, WaitsForNobodysExclusiveWindow) {
  const TestClient a = attach(0, 1);
  const TestClient b = attach(2, 2);
  const SegmentView s = make(a, "s", 4);
  ASSERT_TRUE(home->open_segment(b.id, "s"));
  const auto window = open(a, s, 1, 1);
  ASSERT_TRUE(window);
  EXPECT_EQ(code_of(store(b, s, page, 1)), Code::busy);
  EXPECT_TRUE(store(b, s, 0, 1));       // beside it
  EXPECT_TRUE(store(a, s, page, 2));    // its own
  ASSERT_TRUE(home->commit_window(a.id, *window));
  EXPECT_TRUE(store(b, s, page, 3));
}

TEST_F(StoreTest, OnATornPageIsLost) {
  const TestClient a = attach(0, 1);
  const TestClient b = attach(2, 2);
  const SegmentView s = make(a, "s", 4);
  ASSERT_TRUE(home->open_segment(b.id, "s"));
  ASSERT_TRUE(open(b, s, 1, 1));
  kill(b);
  EXPECT_EQ(code_of(store(a, s, page, 1)), Code::lost);
  ASSERT_TRUE(reset(a, s, 0, 4));
  EXPECT_TRUE(store(a, s, page, 1));
}

TEST_F(StoreTest, OutsideTheSegmentOrTooLargeIsABadArgument) {
  const TestClient a = attach(0, 1);
  const SegmentView s = make(a, "s", 1);
  EXPECT_EQ(code_of(store(a, s, page - 4, 1)), Code::bad_argument);
  EXPECT_EQ(code_of(store(a, s, ~std::uint64_t{0} - 2, 1)), Code::bad_argument);
  const std::vector<std::byte> large(store_bytes_max + 1);
  EXPECT_EQ(code_of(home->store(a.id, s.id, 0, large)), Code::bad_argument);
  EXPECT_EQ(code_of(home->store(a.id, s.id, 0, {})), Code::bad_argument);
  const TestClient stranger = attach(3, 9);
  EXPECT_EQ(code_of(store(stranger, s, 0, 1)), Code::not_found);
}

TEST_F(StoreTest, LeavesNothingForTheNextSegmentInThesePages) {
  const TestClient a = attach(0, 1);
  const SegmentView s = make(a, "s", pages);
  ASSERT_TRUE(store(a, s, 5 * page, 1234));
  ASSERT_TRUE(home->close_segment(a.id, s.id));
  const SegmentView next = make(a, "t", pages);
  ASSERT_TRUE(home->give(a.id, next.id, 0, pages));
  EXPECT_EQ(a.space->load(next.pages.first + 5), 0U);
}

}  // namespace
}  // namespace hive::cell::test
