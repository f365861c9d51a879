// A page cache on a small node, with lenders next door.
#pragma once

#include <optional>
#include <set>

#include "cache_fixture.h"
#include "with_lenders.h"

namespace hive::cell::test {

class BorrowTest : public CacheTest, protected WithLenders {
 protected:
  // All nodes have so many frames.
  void start_cells(std::uint32_t frames, int lenders, std::uint64_t recall_ns = recall_max_ns,
                   std::uint64_t idle_ns = 3600 * ns_per_s) {
    start_node(frames, 4);
    start_borrowing(layout, {.self = self, .own = home.get(), .node_frames = frames,
                             .slots = borrowed_frames_max(frames), .idle_ns = idle_ns});
    start_lenders(lenders, recall_ns);
    cache = *PageCache::create(
        {.heap = heap.get(), .frames = borrowed.get(), .node_frames = frames,
         .borrowed_frames = borrowed_frames_max(frames),
         .content_lost =
             [this](std::span<const FileNumber> files) {
               const std::scoped_lock lock(lost_mutex);
               lost.insert(files.begin(), files.end());
             },
         .self = self, .dirty_age_ns = 3600 * ns_per_s, .dirty_pages_high = 1 << 20});
  }
  void TearDown() override {
    if (!cache) return;
    expect_sound();
    cache.reset();
    borrowed->stop();
    while (home->needs_clean_up()) home->clean_up();
    EXPECT_EQ(home->frames_in(FrameState::cached), 0U) << "the cache has gone";
    EXPECT_TRUE(home->check_frames().sound);
    for (const std::string& breach : memory->breaches()) ADD_FAILURE() << breach;
    expect_lenders_sound();
    doors.reset();
  }

  // Pages in borrowed frames, of that lender or of any.
  std::uint64_t borrowed_pages(FileNumber file, std::uint32_t pages, CellId of = -1) {
    std::uint64_t count = 0;
    for (std::uint32_t p = 0; p < pages; ++p) {
      const auto found = find_page(file, p);
      const bool is_there = found && found->memory_home != self;
      count += is_there && (of < 0 || found->memory_home == of) ? 1 : 0;
    }
    return count;
  }
  // A file that does not fit the node, read until all of it is cached, in part in borrowed frames.
  ContentRef read_until_it_fits(FileNumber number, std::uint32_t pages) {
    const auto content = open(number);
    EXPECT_TRUE(write_all(*content, 0, pattern(pages * page, static_cast<unsigned>(number))));
    EXPECT_TRUE(content->flush());
    EXPECT_TRUE(wait_for([&] {
      EXPECT_EQ(read_all(*content, 0, pages * page),
                pattern(pages * page, static_cast<unsigned>(number)));
      return HasFailure() || cache->counts().pages >= pages;
    })) << "it never fits";
    return content;
  }
  bool is_lost(FileNumber number) {
    const std::scoped_lock lock(lost_mutex);
    return lost.contains(number);
  }

  std::mutex lost_mutex;
  std::set<FileNumber> lost;  // guarded by lost_mutex
};

}  // namespace hive::cell::test
