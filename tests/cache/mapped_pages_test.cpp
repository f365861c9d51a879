// Pages that tasks have mapped: where they are, that write-back closes them first, and that nobody
// believes them once one has died who could store there.
#include <set>

#include "cache_fixture.h"

namespace hive::cell::test {
namespace {

// Notes at which addresses pages are open.
class NotingSpace final : public NoSpace {
 public:
  Result<void> open_at(std::uint64_t address, std::uint32_t count) override {
    const std::scoped_lock lock(mutex);
    for (std::uint32_t i = 0; i < count; ++i) open_pages.insert(address + i * page);
    return {};
  }
  Result<void> close_at(std::uint64_t address, std::uint32_t count) override {
    const std::scoped_lock lock(mutex);
    if (refuses) return fail(Code::host, "told to");
    for (std::uint32_t i = 0; i < count; ++i) open_pages.erase(address + i * page);
    return {};
  }
  std::mutex mutex;
  std::set<std::uint64_t> open_pages;  // guarded by mutex
  bool refuses = false;                // guarded by mutex
};

class MappedPages : public CacheTest {
 protected:
  void SetUp() override {
    start(64);
    space = std::make_shared<NotingSpace>();
    task = *home->add_client({.task = 2, .cell = 0}, space);
    content = open(7);
    ASSERT_TRUE(write_all(*content, 0, pattern(20 * page, 1)));
    ASSERT_TRUE(content->flush());
    view = *home->map_file_view(task, at(0), 32 * page, {.file = 7, .writable = true});
  }
  void TearDown() override {
    content.reset();
    CacheTest::TearDown();
  }
  std::uint64_t at(std::uint64_t p) const { return layout.views_begin() + p * page; }
  // As the file service does it, with a task that shows what it is told to.
  Result<void> touch(std::uint32_t p, bool is_store) {
    const std::uint32_t block = p / 16 * 16;
    const auto held = content->hold(p, block, 16);
    if (!held) return fail(held.error());
    const auto frame = std::ranges::find(*held, p, &HeldFrame::page);
    if (is_store) {
      if (auto may = home->expect_stores(task, view, p, *frame); !may) return may;
      if (auto may = content->expect_stores(*frame); !may) return may;
    }
    last = *frame;
    const auto shown = home->show_file(task, view, p, *held);
    if (!shown) return fail(shown.error());
    return shown->show == 0 ? Result<void>() : home->give_view(task, view, p);
  }
  bool is_open(std::uint32_t p) const {
    const std::scoped_lock lock(space->mutex);
    return space->open_pages.contains(at(p));
  }
  // A store through the mapping.
  void store(std::uint32_t p, const Bytes& bytes) {
    ASSERT_TRUE(is_open(p));
    ASSERT_TRUE(memory->write(last.frame * page, bytes));
  }
  Bytes on_disk(std::uint32_t p) {
    return part(disk(7)->written(), p * page, page);
  }

  std::shared_ptr<NotingSpace> space;
  ClientId task = 0;
  ContentRef content;
  ViewId view = 0;
  HeldFrame last;
};

TEST_F(MappedPages, AreWhereTheCacheHasThem) {
  const auto held = content->hold(5, 0, 16);
  ASSERT_TRUE(held);
  EXPECT_EQ(held->size(), 16U);
  for (const HeldFrame& h : *held) {
    Bytes bytes(page);
    ASSERT_TRUE(memory->read(h.frame * page, bytes));
    EXPECT_EQ(bytes, part(pattern(20 * page, 1), h.page * page, page)) << h.page;
    EXPECT_EQ(h.sequence % 2, 0U);
  }
  EXPECT_EQ(errno_of(content->hold(20, 16, 16)), ENXIO);
  ASSERT_TRUE(content->truncate(3 * page + 1));
  EXPECT_EQ(errno_of(content->hold(4, 0, 16)), ENXIO);
  EXPECT_EQ(content->hold(3, 0, 16)->size(), 4U);
}

TEST_F(MappedPages, AreBroughtInFromTheDisk) {
  read_others(64);
  const auto held = content->hold(2, 0, 16);
  ASSERT_TRUE(held);
  const auto third = std::ranges::find(*held, 2U, &HeldFrame::page);
  ASSERT_NE(third, held->end());
  Bytes bytes(page);
  ASSERT_TRUE(memory->read(third->frame * page, bytes));
  EXPECT_EQ(bytes, part(pattern(20 * page, 1), 2 * page, page));
}

TEST_F(MappedPages, AreThereAtOnceOrNot) {
  const auto cached = content->hold(3, 0, 16, true);
  ASSERT_TRUE(cached);
  EXPECT_EQ(cached->size(), 16U);
  for (int i = 0; i < 10; ++i) read_others(64);
  EXPECT_EQ(errno_of(content->hold(3, 0, 16, true)), EAGAIN);
  EXPECT_TRUE(content->hold(3, 0, 16));
  EXPECT_TRUE(content->hold(3, 0, 16, true));
}

TEST_F(MappedPages, AStoreOpensOnePageAndWriteBackClosesIt) {
  ASSERT_TRUE(touch(3, false));
  EXPECT_FALSE(is_open(3));
  ASSERT_TRUE(touch(3, true));
  EXPECT_TRUE(is_open(3));
  EXPECT_FALSE(is_open(4));
  const Bytes stored = pattern(page, 9);
  store(3, stored);
  EXPECT_EQ(cache->counts().dirty, 1U);
  ASSERT_TRUE(content->flush());
  EXPECT_FALSE(is_open(3));
  EXPECT_EQ(on_disk(3), stored);
  EXPECT_EQ(cache->counts().dirty, 0U);
  ASSERT_TRUE(touch(3, true));
  EXPECT_TRUE(is_open(3));
  EXPECT_EQ(cache->counts().dirty, 1U) << "what is open is dirty";
}

TEST_F(MappedPages, APageThatCannotBeClosedIsNotWritten) {
  ASSERT_TRUE(touch(3, true));
  store(3, pattern(page, 9));
  {
    const std::scoped_lock lock(space->mutex);
    space->refuses = true;
  }
  EXPECT_FALSE(content->flush());
  EXPECT_EQ(on_disk(3), part(pattern(20 * page, 1), 3 * page, page));
  EXPECT_TRUE(is_open(3));
  {
    const std::scoped_lock lock(space->mutex);
    space->refuses = false;
  }
  (void)content->flush();  // which tells of the failure once
  EXPECT_FALSE(is_open(3));
  EXPECT_EQ(on_disk(3), pattern(page, 9));
}

TEST_F(MappedPages, AnOpenPageLeavesOnlyWrittenAndClosed) {
  ASSERT_TRUE(touch(3, true));
  store(3, pattern(page, 9));
  ASSERT_TRUE(make_segment("that needs every frame", 60));
  EXPECT_FALSE(is_open(3));
  EXPECT_EQ(on_disk(3), pattern(page, 9));
  EXPECT_EQ(read_all(*content, 3 * page, page), pattern(page, 9));
}

TEST_F(MappedPages, UnmappingAndDetachingCloseAndKeep) {
  ASSERT_TRUE(touch(3, true));
  store(3, pattern(page, 9));
  ASSERT_TRUE(home->unmap_view(task, view));
  EXPECT_FALSE(is_open(3));
  EXPECT_EQ(read_all(*content, 3 * page, page), pattern(page, 9));
  view = *home->map_file_view(task, at(0), 32 * page, {.file = 7, .writable = true});
  ASSERT_TRUE(touch(4, true));
  store(4, pattern(page, 10));
  home->remove_client(task, Leave::detached);
  EXPECT_FALSE(is_open(4));
  EXPECT_EQ(read_all(*content, 4 * page, page), pattern(page, 10));
}

TEST_F(MappedPages, WhatIsDoubtedIsNeverWrittenAndDropped) {
  ASSERT_TRUE(write_all(*content, 8 * page, pattern(page, 5)));
  ASSERT_TRUE(touch(3, true));
  store(3, pattern(page, 9));
  cache->doubt(std::span(&last, 1));
  EXPECT_EQ(errno_of(touch(3, true)), EAGAIN);
  ASSERT_TRUE(content->flush());
  EXPECT_EQ(on_disk(3), part(pattern(20 * page, 1), 3 * page, page));
  ASSERT_TRUE(cache->drop_doubted(7));
  EXPECT_EQ(read_all(*content, 3 * page, page), part(pattern(20 * page, 1), 3 * page, page));
  EXPECT_EQ(read_all(*content, 8 * page, page), pattern(page, 5)) << "acknowledged, and whole";
}

TEST_F(MappedPages, WhatIsStoredBehindTheEndIsNotInTheFile) {
  ASSERT_TRUE(content->truncate(2 * page + 10));
  ASSERT_TRUE(touch(2, true));
  store(2, pattern(page, 9));
  ASSERT_TRUE(content->truncate(4 * page));
  Bytes expected = part(pattern(page, 9), 0, 10);
  expected.resize(2 * page);
  EXPECT_EQ(read_all(*content, 2 * page, 2 * page), expected);
  ASSERT_TRUE(content->truncate(page + 10));
  ASSERT_TRUE(touch(1, true));
  store(1, pattern(page, 8));
  ASSERT_TRUE(write_all(*content, page + 100, pattern(50, 1)));
  expected = part(pattern(page, 8), 0, 10);
  expected.resize(100);
  EXPECT_EQ(read_all(*content, page, 100), expected);
}

TEST_F(MappedPages, NothingIsBroughtInBehindTheEndOfAView) {
  ASSERT_TRUE(home->unmap_view(task, view));
  view = *home->map_file_view(task, at(0), 2 * page, {.file = 7, .first_page = 4});
  const auto held = content->hold(4, 4, 16);
  ASSERT_TRUE(held);
  ASSERT_EQ(held->size(), 16U);
  const auto shown = home->show_file(task, view, 0, *held);
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->show, 3U) << "the block is longer than the view";
}

TEST_F(MappedPages, AreTakenFromMappingsBeforeTheyComeIntoAnotherFrame) {
  ASSERT_TRUE(touch(3, false));
  const HeldFrame before = last;
  const std::uint64_t taken = memory->times_taken_back(before.frame);
  read_others(200);
  ASSERT_TRUE(touch(3, false));
  EXPECT_GT(memory->times_taken_back(before.frame), taken);
  EXPECT_TRUE(before.frame != last.frame || before.sequence != last.sequence);
}

}  // namespace
}  // namespace hive::cell::test
