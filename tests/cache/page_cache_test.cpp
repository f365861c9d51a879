// What a cached file is to those who use it: the same bytes as a file without a cache.

#include <algorithm>
#include <thread>

#include "cache_fixture.h"

namespace hive::cell::test {
namespace {

using PageCacheTest = CacheTest;

TEST_F(PageCacheTest, WhatIsWrittenIsReadAndReachesTheDiskWithFlush) {
  start(64);
  const auto file = open(7);
  EXPECT_EQ(file->size(), 0U);
  const Bytes bytes = pattern(10'000, 1);
  ASSERT_TRUE(write_all(*file, 100, bytes));
  EXPECT_EQ(file->size(), 10'100U);
  EXPECT_EQ(read_all(*file, 100, 20'000), bytes);
  EXPECT_EQ(read_all(*file, 0, 100), Bytes(100)) << "nothing was written there";
  EXPECT_TRUE(disk(7)->written().empty()) << "not yet";
  EXPECT_EQ(home->frames_in(FrameState::cached), 3U);
  expect_sound();
  ASSERT_TRUE(file->flush());
  Bytes wanted(100);
  wanted.insert(wanted.end(), bytes.begin(), bytes.end());
  EXPECT_EQ(disk(7)->synced(), wanted);
  EXPECT_EQ(cache->counts().dirty, 0U);
}

TEST_F(PageCacheTest, ReadsEndWithTheFile) {
  start(64);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(5000, 1)));
  Bytes out(8192);
  EXPECT_EQ(*file->read(4000, out), 1000U);
  EXPECT_EQ(*file->read(5000, out), 0U);
  EXPECT_EQ(*file->read(~std::uint64_t{0}, out), 0U);
  EXPECT_EQ(*file->read(0, {}), 0U);
  Bytes too_many(content_call_bytes_max + 1);
  EXPECT_EQ(errno_of(file->read(0, too_many)), EINVAL);
  EXPECT_EQ(errno_of(file->write(0, too_many)), EINVAL);
  EXPECT_EQ(errno_of(file->write(content_bytes_max, Bytes(1))), EFBIG);
  EXPECT_EQ(errno_of(file->write(~std::uint64_t{0} - 5, Bytes(10))), EFBIG);
  EXPECT_EQ(errno_of(file->truncate(content_bytes_max + 1)), EFBIG);
  EXPECT_EQ(file->size(), 5000U);
}

TEST_F(PageCacheTest, AFileMuchLargerThanMemoryIsReadAndWrittenThroughFewFrames) {
  start(24);
  const auto file = open(7);
  const Bytes bytes = pattern(200 * page + 123, 3);
  ASSERT_TRUE(write_all(*file, 0, bytes));
  EXPECT_LE(home->frames_in(FrameState::cached), 24U);
  EXPECT_EQ(read_all(*file, 0, bytes.size() + 1), bytes);
  EXPECT_GT(cache->counts().evicted, 300U);
  ASSERT_TRUE(file->flush());
  EXPECT_EQ(disk(7)->synced(), bytes);
}

TEST_F(PageCacheTest, WhatIsCachedIsNotReadFromTheDiskAgain) {
  start(64);
  {
    const auto file = open(7);
    ASSERT_TRUE(write_all(*file, 0, pattern(8 * page, 1)));
    ASSERT_TRUE(file->flush());
  }
  const auto file = open(7);
  EXPECT_EQ(read_all(*file, 0, 8 * page), pattern(8 * page, 1));
  EXPECT_EQ(disk(7)->calls(DiskCall::pread), 0U) << "it stays cached while nobody has it open";
  ASSERT_TRUE(file->drop());
  EXPECT_EQ(home->frames_in(FrameState::cached), 0U);
  EXPECT_EQ(read_all(*file, 0, 8 * page), pattern(8 * page, 1));
  EXPECT_GT(disk(7)->calls(DiskCall::pread), 0U);
}

TEST_F(PageCacheTest, DropForgetsWhatWasNotWrittenBack) {
  start(64);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(3 * page, 1)));
  ASSERT_TRUE(file->flush());
  ASSERT_TRUE(write_all(*file, page, pattern(5 * page, 2)));
  ASSERT_TRUE(file->drop());
  EXPECT_EQ(file->size(), 3 * page);
  EXPECT_EQ(read_all(*file, 0, 10 * page), pattern(3 * page, 1));
  EXPECT_EQ(cache->counts().dirty, 0U);
  ASSERT_TRUE(file->flush());
  EXPECT_EQ(disk(7)->synced(), pattern(3 * page, 1));
}

TEST_F(PageCacheTest, HolesAreZeroAndTakeNoFramesUntilTheyAreRead) {
  start(64);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(10, 1)));
  ASSERT_TRUE(write_all(*file, 1000 * page + 5, pattern(10, 2)));
  EXPECT_EQ(home->frames_in(FrameState::cached), 2U);
  EXPECT_EQ(read_all(*file, 10, page), Bytes(page));
  EXPECT_EQ(read_all(*file, 500 * page, page), Bytes(page));
  EXPECT_EQ(read_all(*file, 1000 * page, 100).size(), 15U);
  ASSERT_TRUE(file->truncate(std::uint64_t{1} << 26));
  EXPECT_EQ(read_all(*file, (std::uint64_t{1} << 26) - 100, 200), Bytes(100));
  ASSERT_TRUE(file->truncate(0));
}

TEST_F(PageCacheTest, WhatIsCutOffDoesNotComeBack) {
  start(64);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(5 * page, 1)));
  ASSERT_TRUE(file->truncate(2 * page + 100));
  EXPECT_EQ(home->frames_in(FrameState::cached), 3U);
  ASSERT_TRUE(file->truncate(4 * page));
  Bytes wanted = pattern(5 * page, 1);
  wanted.resize(2 * page + 100);
  wanted.resize(4 * page);
  EXPECT_EQ(read_all(*file, 0, 10 * page), wanted);
  ASSERT_TRUE(file->flush());
  EXPECT_EQ(disk(7)->synced(), wanted);
  // The same when it had been written back, and when it grows by a write.
  ASSERT_TRUE(file->truncate(page + 1));
  ASSERT_TRUE(write_all(*file, 3 * page, pattern(1, 9)));
  wanted.resize(page + 1);
  wanted.resize(3 * page);
  wanted.push_back(pattern(1, 9)[0]);
  EXPECT_EQ(read_all(*file, 0, 10 * page), wanted);
  ASSERT_TRUE(file->flush());
  EXPECT_EQ(disk(7)->synced(), wanted);
}

TEST_F(PageCacheTest, AppendsOfManyThreadsLieOneBehindTheOther) {
  start(32);
  const auto file = open(7);
  constexpr int threads = 4;
  constexpr int appends = 200;
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&file, t] {
      for (int i = 0; i < appends; ++i) {
        const Bytes record(333, static_cast<std::byte>(t + 1));
        const auto done = file->append(record);
        ASSERT_TRUE(done);
        EXPECT_EQ(done->offset % record.size(), 0U);
        EXPECT_EQ(done->bytes, record.size());
      }
    });
  }
  for (std::thread& thread : all) thread.join();
  const Bytes bytes = read_all(*file, 0, threads * appends * 333 + 1);
  ASSERT_EQ(bytes.size(), std::size_t{threads * appends * 333});
  for (std::size_t at = 0; at < bytes.size(); at += 333) {
    EXPECT_EQ(std::count(bytes.begin() + static_cast<long>(at),
                         bytes.begin() + static_cast<long>(at) + 333, bytes[at]), 333);
  }
}

TEST_F(PageCacheTest, WhoReadsOnFindsThePagesThere) {
  start(256, {.dirty_age_ns = 3600 * ns_per_s, .slow_read_ns = 0, .dirty_pages_high = 1 << 20});
  {
    const auto file = open(7);
    ASSERT_TRUE(write_all(*file, 0, pattern(100 * page, 1)));
    ASSERT_TRUE(file->flush());
    ASSERT_TRUE(file->drop());
  }
  const auto file = open(7);
  Bytes out(page);
  const std::uint64_t read_before = disk(7)->calls(DiskCall::pread);
  Bytes all = read_all(*file, 0, page);
  while (cache->counts().read_ahead < ahead_pages_min) std::this_thread::yield();
  all = read_all(*file, 0, (1 + ahead_pages_min) * page);
  EXPECT_EQ(disk(7)->calls(DiskCall::pread) - read_before, 2U) << "many pages in one go";
  while (all.size() < 100 * page) {
    ASSERT_EQ(*file->read(all.size(), out), page);
    all.insert(all.end(), out.begin(), out.end());
  }
  EXPECT_EQ(all, pattern(100 * page, 1));
}

TEST_F(PageCacheTest, DirtyPagesReachTheDiskInTimeWithoutFlush) {
  start(64, {.dirty_age_ns = ns_per_ms, .dirty_pages_high = 1 << 20});
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(20 * page, 1)));
  while (cache->counts().dirty > 0) std::this_thread::yield();
  while (disk(7)->written() != pattern(20 * page, 1)) std::this_thread::yield();
  EXPECT_TRUE(disk(7)->synced().empty());
}

TEST_F(PageCacheTest, TooManyDirtyPagesAreWrittenBackAtOnce) {
  start(64, {.dirty_age_ns = 3600 * ns_per_s, .dirty_pages_high = 8});
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(20 * page, 1)));
  while (cache->counts().written_back < 12) std::this_thread::yield();
}

TEST_F(PageCacheTest, FilesThatNobodyHasOpenAreLetGoInTheEnd) {
  start(2048);
  for (FileNumber number = 1; number <= idle_files_max + 100; ++number) {
    ASSERT_TRUE(write_all(*open(number), 0, pattern(100, static_cast<unsigned>(number))));
  }
  while (home->frames_in(FrameState::cached) > idle_files_max) std::this_thread::yield();
  for (FileNumber number = 1; number <= idle_files_max + 100; ++number) {
    EXPECT_EQ(read_all(*open(number), 0, 200), pattern(100, static_cast<unsigned>(number)));
  }
}

TEST_F(PageCacheTest, ColdPagesGoBeforeThoseInUse) {
  start(40);
  const auto hot = open(1);
  ASSERT_TRUE(write_all(*hot, 0, pattern(8 * page, 1)));
  ASSERT_TRUE(hot->flush());
  for (int i = 0; i < 20; ++i) {
    (void)read_all(*hot, 0, 8 * page);
    read_others(16);
  }
  EXPECT_EQ(disk(1)->calls(DiskCall::pread), 0U) << "it never left";
  EXPECT_GT(cache->counts().evicted, 200U);
}

}  // namespace
}  // namespace hive::cell::test
