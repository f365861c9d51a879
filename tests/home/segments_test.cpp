#include "home_fixture.h"

namespace hive::cell::test {
namespace {

TEST_F(HomeTest, ASegmentOpensByNameAtTheSamePages) {
  const auto a = attach();
  const auto b = attach(2);
  const SegmentView made = make(a, "scene", 5);
  EXPECT_EQ(made.pages.count, 5u);
  const auto opened = home->open_segment(b.id, "scene");
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->id, made.id);
  EXPECT_EQ(opened->pages, made.pages);
  EXPECT_EQ(code_of(home->open_segment(b.id, "other")), Code::not_found);
  EXPECT_TRUE(home->has_segment("scene"));
}

TEST_F(HomeTest, RefusesSenselessNamesAndSizes) {
  const auto a = attach();
  const auto try_name = [&](std::string_view name) {
    return code_of(home->create_segment(a.id, name, page, false));
  };
  EXPECT_EQ(try_name(""), Code::bad_argument);
  EXPECT_EQ(try_name(std::string(64, 'x')), Code::bad_argument);
  EXPECT_EQ(try_name("a/b"), Code::bad_argument);
  EXPECT_EQ(try_name("tab\t"), Code::bad_argument);
  EXPECT_EQ(try_name("\xc3\xa4"), Code::bad_argument);
  EXPECT_EQ(try_name(std::string(63, 'x')), std::nullopt);
  EXPECT_EQ(try_name(std::string(63, 'x')), Code::exists);
  const auto try_size = [&](std::uint64_t bytes) {
    return code_of(home->create_segment(a.id, "size", bytes, false));
  };
  EXPECT_EQ(try_size(0), Code::bad_argument);
  EXPECT_EQ(try_size(layout.user_bytes + 1), Code::bad_argument);
  EXPECT_EQ(try_size(~std::uint64_t{0}), Code::bad_argument);
  EXPECT_EQ(try_size(layout.user_bytes), Code::exhausted);  // one page is taken
  EXPECT_EQ(try_size(layout.user_bytes - page), std::nullopt);
}

TEST_F(HomeTest, ASegmentGoesWithItsLastCloseUnlessItIsKept) {
  const auto a = attach();
  const auto b = attach();
  const auto plain = make(a, "plain", 2);
  const auto kept = make(a, "kept", 2, true);
  ASSERT_TRUE(home->open_segment(b.id, "plain"));
  EXPECT_TRUE(home->close_segment(a.id, plain.id));
  EXPECT_TRUE(home->has_segment("plain"));
  EXPECT_TRUE(home->close_segment(b.id, plain.id));
  EXPECT_FALSE(home->has_segment("plain"));
  EXPECT_EQ(code_of(home->close_segment(b.id, plain.id)), Code::not_found);
  EXPECT_TRUE(home->close_segment(a.id, kept.id));
  EXPECT_TRUE(home->has_segment("kept"));
  ASSERT_TRUE(home->open_segment(b.id, "kept"));
  EXPECT_TRUE(home->destroy_segment(b.id, kept.id));
  EXPECT_FALSE(home->has_segment("kept"));
  EXPECT_EQ(home->frames_in(FrameState::segment), 2u);  // b still uses it
  EXPECT_TRUE(load_fault(b, kept.pages.first));
  EXPECT_TRUE(home->close_segment(b.id, kept.id));
  EXPECT_EQ(home->frames_in(FrameState::segment), 0u);
}

TEST_F(HomeTest, OpensAreCountedInEachClient) {
  const auto a = attach();
  const auto s = make(a, "s", 1);
  ASSERT_TRUE(home->open_segment(a.id, "s"));
  EXPECT_TRUE(home->close_segment(a.id, s.id));
  EXPECT_TRUE(home->has_segment("s"));
  EXPECT_TRUE(home->close_segment(a.id, s.id));
  EXPECT_FALSE(home->has_segment("s"));
}

TEST_F(HomeTest, ADestroyedNameIsFreeAtOnce) {
  const auto a = attach();
  const auto old = make(a, "s", 1);
  EXPECT_TRUE(home->destroy_segment(a.id, old.id));
  EXPECT_TRUE(home->destroy_segment(a.id, old.id));
  const auto fresh = make(a, "s", 1);
  EXPECT_NE(fresh.id, old.id);
  EXPECT_NE(fresh.pages.first, old.pages.first);
  EXPECT_TRUE(home->close_segment(a.id, old.id));
  EXPECT_TRUE(home->has_segment("s"));
}

TEST_F(HomeTest, FreedMemoryIsTakenBackAndEmptyWhenItComesAgain) {
  const auto a = attach();
  const auto b = attach();
  const auto old = make(a, "old", pages);
  auto window = open(a, old, 3, 1);
  ASSERT_TRUE(window);
  ASSERT_TRUE(a.space->store(3, 42));
  ASSERT_TRUE(home->commit_window(a.id, *window));
  ASSERT_TRUE(home->close_segment(a.id, old.id));
  const auto fresh = make(b, "fresh", pages);  // needs every page, so it waits for the cleaning
  ASSERT_EQ(fresh.pages.count, pages);
  EXPECT_EQ(a.space->load(3), std::nullopt) << "the old client still sees it";
  ASSERT_TRUE(load_fault(b, 3));
  EXPECT_EQ(b.space->load(3), 0u);
  EXPECT_GE(node.times_taken_back(3), 1u);
  EXPECT_EQ(node.times_taken_back(200), 0u) << "nobody was ever given that page";
  EXPECT_EQ(code_of(load_fault(a, 3)), Code::not_found);
}

TEST_F(HomeTest, MemoryThatTheHostCannotRefillStaysOutOfUse) {
  const auto a = attach();
  const auto old = make(a, "old", pages);
  ASSERT_TRUE(load_fault(a, 0));
  ASSERT_TRUE(home->close_segment(a.id, old.id));
  node.refuse_refill(true);
  EXPECT_EQ(code_of(home->create_segment(a.id, "all", pages * page, false)), Code::exhausted);
  EXPECT_EQ(home->frames_in(FrameState::cleaning), 16u);
  EXPECT_TRUE(home->needs_clean_up());
  node.refuse_refill(false);
  home->clean_up();
  EXPECT_FALSE(home->needs_clean_up());
  EXPECT_EQ(home->frames_in(FrameState::cleaning), 0u);
  EXPECT_TRUE(home->create_segment(a.id, "all", pages * page, false));
}

TEST_F(HomeTest, LimitsHaveNamesAndLeaveNothingBehind) {
  const auto a = attach();
  const auto s = make(a, "s", pages - 1);
  for (std::size_t i = 0; i < windows_per_client_max; ++i) {
    const auto at = static_cast<std::uint32_t>(i % (pages - 1));
    ASSERT_TRUE(open(a, s, at, 1, WindowMode::shared)) << i;
  }
  const auto one_more = open(a, s, 0, 1, WindowMode::shared);
  ASSERT_EQ(code_of(one_more), Code::exhausted);
  EXPECT_STREQ(one_more.error().cause, proto::cause::window_limit);
  home->remove_client(a.id, Leave::died);
  EXPECT_EQ(home->root()->pages_open_others, 0u);
  std::vector<TestClient> crowd;
  for (std::size_t i = 0; i < clients_max; ++i) crowd.push_back(attach());
  EXPECT_EQ(code_of(home->add_client({}, node.make_space())), Code::exhausted);
}

// What another cell sees when it walks the published list.
std::vector<std::string> published_names(const HomeRoot* root) {
  std::vector<std::string> names;
  for (std::uint64_t at = root->segments; at != 0;) {
    const auto* record = reinterpret_cast<const SegmentRecord*>(at);
    EXPECT_EQ(record->tag.type, SegmentRecord::type);
    if (record->state == SegmentState::live) names.emplace_back(record->name.data());
    at = record->next;
  }
  return names;
}

TEST_F(HomeTest, PublishesItsSegmentsForCarefulReaders) {
  const auto a = attach();
  EXPECT_EQ(home->root()->tag.type, HomeRoot::type);
  const auto x = make(a, "x", 1);
  const auto y = make(a, "y", 2);
  make(a, "z", 3);
  EXPECT_EQ(published_names(home->root()), (std::vector<std::string>{"z", "y", "x"}));
  const auto* gone = reinterpret_cast<const SegmentRecord*>(
      reinterpret_cast<const SegmentRecord*>(home->root()->segments.load())->next.load());
  EXPECT_EQ(gone->id, y.id);
  EXPECT_EQ(gone->first_page, y.pages.first);
  EXPECT_EQ(gone->pages, 2u);
  EXPECT_EQ(gone->home, self);
  EXPECT_TRUE(home->destroy_segment(a.id, x.id));
  EXPECT_EQ(published_names(home->root()), (std::vector<std::string>{"z", "y"}));
  EXPECT_TRUE(home->close_segment(a.id, y.id));
  EXPECT_NE(gone->tag.type, SegmentRecord::type) << "a freed record keeps its tag";
  EXPECT_EQ(published_names(home->root()), (std::vector<std::string>{"z"}));
  EXPECT_EQ(home->root()->segment_count, 2u);
}

}  // namespace
}  // namespace hive::cell::test
