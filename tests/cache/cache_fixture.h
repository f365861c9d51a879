// A page cache over a home of segments, on a small node.
#pragma once

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/safe_copy.h"
#include "cell/files/page_cache.h"
#include "cell/home/home.h"
#include "lib/page_finder.h"
#include "mapped_node.h"
#include "disk_file.h"
#include "memory_frames.h"
#include "test_seed.h"

namespace hive::cell::test {

inline constexpr std::uint64_t page = machine::page_bytes;
using Bytes = std::vector<std::byte>;
using ContentRef = std::shared_ptr<FileContent>;

// Of segments; what it does to page tables is nothing.
class NoSpace : public ClientSpace {
 public:
  Result<std::uint32_t> give(machine::PageRange range) override { return range.count; }
  Result<void> open(machine::PageRange) override { return {}; }
  Result<void> close(machine::PageRange) override { return {}; }
  void forget(machine::PageRange) override {}
  Result<std::uint32_t> give_at(std::uint64_t, std::uint32_t count) override { return count; }
  Result<void> open_at(std::uint64_t, std::uint32_t) override { return {}; }
  Result<void> close_at(std::uint64_t, std::uint32_t) override { return {}; }
};

inline Bytes pattern(std::size_t bytes, unsigned seed) {
  Bytes made(bytes);
  for (std::size_t i = 0; i < bytes; ++i) {
    made[i] = static_cast<std::byte>(seed * 31 + i * 7 + i / 256);
  }
  return made;
}

inline Bytes part(const Bytes& bytes, std::size_t first, std::size_t count) {
  return {bytes.begin() + static_cast<long>(first),
          bytes.begin() + static_cast<long>(first + count)};
}

inline unsigned test_seed() { return static_cast<unsigned>(hive::test::test_seed()); }

class CacheTest : public ::testing::Test {
 protected:
  static constexpr CellId self = 1;

  static void SetUpTestSuite() { install_safe_copy_handler(); }

  // A home on a node of so many frames, of a machine of so many cells.
  void start_node(std::uint32_t frames, int cells) {
    node_frames = frames;
    layout = machine::make_layout(cells, frames * page);
    kernel = std::make_unique<hive::test::MappedNode>(layout, self);
    heap = std::make_unique<TaggedHeap>(kernel->heap(), kernel->heap_bytes());
    memory = std::make_unique<MemoryFrames>(frames);
    home = *Home::create({.self = self, .layout = layout, .heap = heap.get(),
                          .memory = memory.get(), .log = {}});
    client = *home->add_client({.task = 1, .cell = 0}, std::make_shared<NoSpace>());
  }
  // A node of so many frames. Nothing is written back before it has to be, unless told.
  void start(std::uint32_t frames, PageCache::Parts wanted = {.dirty_age_ns = 3600 * ns_per_s,
                                                              .dirty_pages_high = 1 << 20}) {
    start_node(frames, 2);
    wanted.heap = heap.get();
    wanted.frames = home.get();
    wanted.node_frames = frames;
    wanted.self = self;
    cache = *PageCache::create(wanted);
  }
  void TearDown() override {
    if (!cache) return;
    expect_sound();
    cache.reset();
    while (home->needs_clean_up()) home->clean_up();
    EXPECT_EQ(home->frames_in(FrameState::cached), 0U) << "the cache has gone";
    EXPECT_TRUE(home->check_frames().sound);
    for (const std::string& breach : memory->breaches()) ADD_FAILURE() << breach;
  }
  void expect_sound() const {
    const auto sound = home->check_frames().sound;
    EXPECT_TRUE(sound) << sound.error().message();
  }

  std::shared_ptr<DiskFile> disk(FileNumber number) {
    const std::scoped_lock lock(disks_mutex);
    auto& file = disks[number];
    if (!file) file = std::make_shared<DiskFile>();
    return file;
  }
  ContentRef open(FileNumber number) {
    const auto file = disk(number);
    auto opened = cache->open(number, [file]() -> Result<std::unique_ptr<FileBacking>> {
      return std::make_unique<DiskBacking>(file);
    });
    EXPECT_TRUE(opened);
    return *opened;
  }
  static Result<void> write_all(FileContent& content, std::uint64_t at, const Bytes& bytes) {
    for (std::size_t done = 0; done < bytes.size();) {
      const std::size_t count = std::min(bytes.size() - done, content_call_bytes_max);
      const auto wrote = content.write(at + done, std::span(bytes).subspan(done, count));
      if (!wrote) return fail(wrote.error());
      done += *wrote;
    }
    return {};
  }
  // Up to the end of the file.
  static Bytes read_all(FileContent& content, std::uint64_t at, std::size_t bytes) {
    Bytes out(bytes);
    std::size_t done = 0;
    while (done < bytes) {
      const std::size_t count = std::min(bytes - done, content_call_bytes_max);
      const auto read = content.read(at + done, std::span(out).subspan(done, count));
      EXPECT_TRUE(read) << read.error().message();
      if (!read || *read == 0) break;
      done += *read;
    }
    out.resize(done);
    return out;
  }
  // As a task looks it up.
  lib::PageFinder published() const {
    return {layout, self, {cache->table_address(), home->first_pfdat()}};
  }
  std::optional<proto::PageEntry> find_page(FileNumber file, std::uint32_t number) const {
    const auto found = published().find(file, number);
    return found ? std::optional(found->entry) : std::nullopt;
  }
  Result<SegmentView> make_segment(const std::string& name, std::uint32_t pages) const {
    return home->create_segment(client, name, pages * page, false);
  }
  // Reads so many pages that nobody has read before.
  void read_others(std::uint32_t pages) {
    const auto other = open(999);
    const std::uint64_t before = other->size();
    ASSERT_TRUE(other->truncate(before + pages * page));
    (void)read_all(*other, before, pages * page);
  }

  std::uint32_t node_frames = 0;
  machine::Layout layout{};
  std::unique_ptr<hive::test::MappedNode> kernel;
  std::unique_ptr<TaggedHeap> heap;
  std::unique_ptr<MemoryFrames> memory;
  std::unique_ptr<Home> home;
  ClientId client = 0;
  std::mutex disks_mutex;
  std::map<FileNumber, std::shared_ptr<DiskFile>> disks;  // guarded by disks_mutex
  std::unique_ptr<PageCache> cache;
};

template <class T>
int errno_of(const Result<T>& result) {
  return result ? 0 : result.error().sys_errno;
}

}  // namespace hive::cell::test
