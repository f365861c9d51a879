// Anonymous memory of tasks in views: page by page, zero, the client's alone, and given back.
#include "home_fixture.h"

namespace hive::cell::test {
namespace {

class ViewsTest : public HomeTest {
 protected:
  std::uint64_t at(std::uint64_t p) const { return layout.views_begin() + p * page; }
  // What libhive does at a fault: it shows what it is told to, and says so.
  Result<void> touch(const TestClient& client, ViewId view, std::uint64_t base, std::uint64_t p) {
    return touch(client, view, base, ViewTouch{.page = p});
  }
  Result<void> touch(const TestClient& client, ViewId view, std::uint64_t base,
                     const ViewTouch& what) {
    const std::uint64_t p = what.page;
    const auto block = home->fault_view(client.id, view, what);
    if (!block) return fail(block.error());
    if (block->show == 0) return {};
    for (std::uint32_t i = 0; i < proto::view_block_pages; ++i) {
      if ((block->show >> i & 1) == 0) continue;
      const auto frame =
          static_cast<std::uint32_t>((block->frames[i] - layout.user_begin(self)) / page);
      client.space->show(base + (p / 16 * 16 + i) * page, frame);
    }
    return home->give_view(client.id, view, p);
  }
};

TEST_F(ViewsTest, AreZeroTakeStoresAndComeSixteenPagesAtATime) {
  const auto client = attach();
  const auto view = *home->map_view(client.id, at(0), 40 * page);
  EXPECT_EQ(home->frames_in(FrameState::anonymous), 0U) << "nothing was touched";
  ASSERT_TRUE(touch(client, view, at(0), 20));
  EXPECT_EQ(home->frames_in(FrameState::anonymous), 16U);
  EXPECT_EQ(client.space->load_at(at(31)), 0U);
  EXPECT_TRUE(client.space->store_at(at(20), 5));
  EXPECT_EQ(client.space->load_at(at(20)), 5U);
  EXPECT_EQ(client.space->load_at(at(32)), std::nullopt);
  ASSERT_TRUE(touch(client, view, at(0), 39));
  EXPECT_EQ(home->frames_in(FrameState::anonymous), 24U) << "the view ends in this block";
  ASSERT_TRUE(touch(client, view, at(0), 20)) << "again";
  EXPECT_EQ(client.space->load_at(at(20)), 5U);
}

TEST_F(ViewsTest, NeedNoRunOfFrames) {
  const auto client = attach();
  // Every second page of the node is a segment's.
  std::vector<SegmentView> all;
  for (std::uint32_t i = 0; i < pages; ++i) all.push_back(make(client, std::to_string(i), 1));
  for (std::uint32_t i = 0; i < pages; i += 2) {
    ASSERT_TRUE(home->close_segment(client.id, all[i].id));
  }
  home->clean_up();
  const auto view = *home->map_view(client.id, at(0), 100 * page);
  for (std::uint64_t p = 0; p < 100; ++p) {
    ASSERT_TRUE(touch(client, view, at(0), p));
    ASSERT_TRUE(client.space->store_at(at(p), p));
  }
  for (std::uint64_t p = 0; p < 100; ++p) EXPECT_EQ(client.space->load_at(at(p)), p);
}

TEST_F(ViewsTest, EndWithTheirOwnerAndServeNobodyElseBeforeTheyAreZero) {
  const auto client = attach();
  const auto other = attach(2, 9);
  const auto view = *home->map_view(client.id, at(0), pages * page);
  for (std::uint64_t p = 0; p < pages; ++p) ASSERT_TRUE(touch(client, view, at(0), p));
  for (std::uint64_t p = 0; p < pages; ++p) ASSERT_TRUE(client.space->store_at(at(p), 77));
  const auto theirs = *home->map_view(other.id, at(0), pages * page);
  const auto full = touch(other, theirs, at(0), 0);
  EXPECT_EQ(code_of(full), Code::exhausted);
  EXPECT_EQ(full.error().sys_errno, ENOMEM);
  EXPECT_EQ(code_of(home->create_segment(other.id, "s", page, false)), Code::exhausted);
  kill(client);
  for (std::uint64_t p = 0; p < pages; ++p) {
    ASSERT_TRUE(touch(other, theirs, at(0), p));
    EXPECT_EQ(other.space->load_at(at(p)), 0U);
  }
}

TEST_F(ViewsTest, ALiveClientThatUnmapsHasNothingMore) {
  const auto client = attach();
  const auto view = *home->map_view(client.id, at(0), 16 * page);
  ASSERT_TRUE(touch(client, view, at(0), 0));
  ASSERT_TRUE(home->unmap_view(client.id, view));
  home->clean_up();
  EXPECT_EQ(client.space->load_at(at(0)), std::nullopt);
  EXPECT_FALSE(client.space->store_at(at(3), 1));
  EXPECT_EQ(home->frames_in(FrameState::free), pages);
  EXPECT_EQ(code_of(home->unmap_view(client.id, view)), Code::not_found);
  EXPECT_EQ(code_of(home->fault_view(client.id, view, {})), Code::not_found);
}

TEST_F(ViewsTest, LieOnlyWhereViewsMayLieAndNotOnEachOther) {
  const auto client = attach();
  const auto other = attach(0, 8);
  const auto map = [&](std::uint64_t address, std::uint64_t bytes) {
    return code_of(home->map_view(client.id, address, bytes));
  };
  EXPECT_EQ(map(layout.user_begin(self), page), Code::bad_argument);
  EXPECT_EQ(map(layout.mould_begin(self), page), Code::bad_argument);
  EXPECT_EQ(map(layout.views_end() - page, 2 * page), Code::bad_argument);
  EXPECT_EQ(map(at(0), ~std::uint64_t{0} / page * page), Code::bad_argument);
  EXPECT_EQ(map(at(0) + 8, page), Code::bad_argument);
  EXPECT_EQ(map(at(0), 0), Code::bad_argument);
  EXPECT_EQ(map(at(0), 7), Code::bad_argument);
  const auto view = home->map_view(client.id, at(4), 4 * page);
  ASSERT_TRUE(view);
  EXPECT_EQ(map(at(7), page), Code::bad_argument);
  EXPECT_EQ(map(at(0), 5 * page), Code::bad_argument);
  EXPECT_EQ(map(at(8), page), std::nullopt);
  EXPECT_EQ(code_of(home->fault_view(client.id, *view, {.page = 4})), Code::bad_argument);
  EXPECT_EQ(code_of(home->fault_view(other.id, *view, {})), Code::not_found);
  EXPECT_EQ(code_of(home->give_view(client.id, *view, 0)), Code::bad_argument)
      << "nobody has asked for it";
}

class CopiesTest : public ViewsTest {
 protected:
  // Pages of one byte each.
  static std::vector<std::byte> pages_of(std::initializer_list<int> bytes) {
    std::vector<std::byte> all;
    for (const int byte : bytes) all.insert(all.end(), page, static_cast<std::byte>(byte));
    return all;
  }
  static std::uint64_t word_of(int byte) { return byte * 0x0101010101010101U; }
  Result<void> copy(const TestClient& client, ViewId view, std::uint64_t p, std::uint32_t copied,
                    const std::vector<std::byte>& content) {
    return touch(client, view, at(0), {p, copied, content});
  }
};

TEST_F(CopiesTest, HoldWhatTheyAreMadeOfAndNoOtherPageGetsAFrame) {
  const auto client = attach();
  const auto view = *home->map_view(client.id, at(0), 40 * page, true);
  EXPECT_EQ(code_of(copy(client, view, 3, 0, {})), Code::bad_argument) << "nothing was copied";
  ASSERT_TRUE(copy(client, view, 3, 1U << 3, pages_of({7})));
  EXPECT_EQ(home->frames_in(FrameState::anonymous), 1U);
  EXPECT_EQ(client.space->load_at(at(3)), word_of(7));
  EXPECT_EQ(client.space->load_at(at(2)), std::nullopt);
  EXPECT_TRUE(client.space->store_at(at(3), 1));
  ASSERT_TRUE(copy(client, view, 3, 0, {})) << "it is there";
  ASSERT_TRUE(copy(client, view, 5, 0b111000, pages_of({1, 2, 3})));
  EXPECT_EQ(home->frames_in(FrameState::anonymous), 3U);
  EXPECT_EQ(client.space->load_at(at(3)), 1U) << "what has a frame is not copied again";
  EXPECT_EQ(client.space->load_at(at(4)), word_of(2));
  EXPECT_EQ(client.space->load_at(at(5)), word_of(3));
  ASSERT_TRUE(copy(client, view, 39, 0xffff, std::vector<std::byte>(16 * page, std::byte{9})));
  EXPECT_EQ(home->frames_in(FrameState::anonymous), 11U) << "the view ends in this block";
  ASSERT_TRUE(home->check_frames().sound);
  ASSERT_TRUE(home->unmap_view(client.id, view));
  home->clean_up();
  EXPECT_EQ(home->frames_in(FrameState::free), pages);
}

TEST_F(CopiesTest, AreRefusedWhereTheContentIsNotWhatThePagesNeed) {
  const auto client = attach();
  const auto view = *home->map_view(client.id, at(0), 16 * page, true);
  EXPECT_EQ(code_of(copy(client, view, 3, 1U << 3, {})), Code::bad_argument);
  EXPECT_EQ(code_of(copy(client, view, 3, 1U << 3, pages_of({1, 2}))), Code::bad_argument);
  EXPECT_EQ(code_of(copy(client, view, 3, 1U << 4, pages_of({1}))), Code::bad_argument);
  EXPECT_EQ(code_of(copy(client, view, 3, 1U << 16, pages_of({1}))), Code::bad_argument);
  EXPECT_EQ(code_of(copy(client, view, 16, 1, pages_of({1}))), Code::bad_argument);
  EXPECT_EQ(home->frames_in(FrameState::anonymous), 0U);
}

TEST_F(CopiesTest, LieOverFilesForReadingOnly) {
  const auto client = attach();
  const auto map = [&](std::uint64_t p, bool copies) {
    return code_of(home->map_view(client.id, at(p), 4 * page, copies));
  };
  ASSERT_TRUE(home->map_file_view(client.id, at(0), 4 * page, {.file = 5}));
  ASSERT_TRUE(home->map_file_view(client.id, at(8), 4 * page, {.file = 5, .writable = true}));
  EXPECT_EQ(map(0, false), Code::bad_argument);
  EXPECT_EQ(map(8, true), Code::bad_argument);
  EXPECT_EQ(map(0, true), std::nullopt);
  EXPECT_EQ(map(0, true), Code::bad_argument) << "one over the other";
  EXPECT_EQ(map(2, true), Code::bad_argument);
}

TEST_F(CopiesTest, FailWithoutMemoryAndLeaveNothingBehind) {
  const auto client = attach();
  const auto segment = make(client, "all", pages);
  const auto view = *home->map_view(client.id, at(0), 16 * page, true);
  EXPECT_EQ(code_of(copy(client, view, 0, 1, pages_of({1}))), Code::exhausted);
  ASSERT_TRUE(home->close_segment(client.id, segment.id));
  ASSERT_TRUE(copy(client, view, 0, 1, pages_of({1})));
  EXPECT_EQ(client.space->load_at(at(0)), word_of(1));
  kill(client);
  home->clean_up();
  EXPECT_EQ(home->frames_in(FrameState::free), pages);
}

class Room final : public FrameSupply {
 public:
  explicit Room(std::function<void()> make) : make_(std::move(make)) {}
  bool make_room(std::uint32_t) override {
    ++asked;
    make_();
    return true;
  }
  int asked = 0;

 private:
  std::function<void()> make_;
};

TEST_F(ViewsTest, OthersAreAskedForMemoryLast) {
  const auto client = attach();
  const auto segment = make(client, "all", pages);
  Room room([&] { (void)home->close_segment(client.id, segment.id); });
  home->use_supply(&room);
  const auto view = *home->map_view(client.id, at(0), 20 * page);
  EXPECT_TRUE(touch(client, view, at(0), 3));
  EXPECT_TRUE(touch(client, view, at(0), 19));
  EXPECT_EQ(room.asked, 1);
  home->use_supply(nullptr);
}

}  // namespace
}  // namespace hive::cell::test
