// Disks that fail, are full, or are slow: what the cache says, and what it keeps.

#include <future>

#include "cache_fixture.h"
#include "stall.h"

namespace hive::cell::test {
namespace {

using DiskFailures = CacheTest;

TEST_F(DiskFailures, AWriteBackThatFailsIsToldByFlushAndThePageStaysDirty) {
  start(64);
  const auto file = open(7);
  const Bytes bytes = pattern(5 * page, 1);
  ASSERT_TRUE(write_all(*file, 0, bytes));
  disk(7)->refuse(DiskCall::pwrite, EIO);
  EXPECT_EQ(errno_of(file->flush()), EIO);
  EXPECT_EQ(errno_of(file->flush()), EIO) << "it is still not on the disk";
  EXPECT_EQ(cache->counts().dirty, 5U);
  EXPECT_EQ(read_all(*file, 0, 6 * page), bytes);
  ASSERT_TRUE(write_all(*file, 100, pattern(50, 2))) << "the cached file goes on";
  disk(7)->refuse_nothing();
  ASSERT_TRUE(file->flush());
  EXPECT_EQ(disk(7)->synced(), read_all(*file, 0, 6 * page));
  expect_sound();
}

TEST_F(DiskFailures, AFailureInTheBackgroundIsToldOnceByTheNextFlush) {
  start(64, {.dirty_age_ns = ns_per_ms, .retry_ns = ns_per_ms, .dirty_pages_high = 1 << 20});
  const auto file = open(7);
  disk(7)->refuse(DiskCall::pwrite, ENOSPC, 1);
  ASSERT_TRUE(write_all(*file, 0, pattern(page, 1)));
  while (cache->counts().dirty > 0 || cache->counts().failures == 0) std::this_thread::yield();
  EXPECT_EQ(errno_of(file->flush()), ENOSPC) << "though it has been written since";
  EXPECT_TRUE(file->flush());
  EXPECT_EQ(disk(7)->synced(), pattern(page, 1));
}

TEST_F(DiskFailures, OnAFullDiskWhatHasRoomIsWritten) {
  start(64);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(8 * page, 1)));
  ASSERT_TRUE(file->flush());
  disk(7)->set_room(8 * page);
  ASSERT_TRUE(write_all(*file, 0, pattern(12 * page, 2)));
  EXPECT_EQ(errno_of(file->flush()), ENOSPC);
  EXPECT_EQ(cache->counts().dirty, 4U) << "those that do not fit";
  EXPECT_EQ(file->size(), 12 * page);
  EXPECT_EQ(read_all(*file, 0, 12 * page), pattern(12 * page, 2));
  ASSERT_TRUE(file->truncate(8 * page));
  ASSERT_TRUE(file->flush());
  EXPECT_EQ(disk(7)->synced(), part(pattern(12 * page, 2), 0, 8 * page));
}

TEST_F(DiskFailures, WhenNothingDirtyCanBeWrittenTheOneRequestFailsAndOtherFilesAreRead) {
  start(32);
  const auto full = open(7);
  disk(7)->set_room(0);
  Result<void> wrote;
  std::uint64_t pages = 0;
  for (; wrote && pages < 100; ++pages) wrote = write_all(*full, pages * page, pattern(page, 1));
  EXPECT_EQ(errno_of(wrote), ENOSPC);
  EXPECT_EQ(cache->counts().dirty, 32U);
  EXPECT_EQ(read_all(*full, 0, page), pattern(page, 1));
  expect_sound();
  disk(7)->refuse_nothing();
  EXPECT_TRUE(write_all(*full, pages * page, pattern(page, 1)));
  const auto other = open(8);
  ASSERT_TRUE(write_all(*other, 0, pattern(5 * page, 2)));
  EXPECT_EQ(read_all(*other, 0, 5 * page), pattern(5 * page, 2));
  EXPECT_EQ(errno_of(full->flush()), ENOSPC) << "what has failed is told";
  EXPECT_TRUE(full->flush());
}

TEST_F(DiskFailures, APageThatCannotBeReadIsAnErrorAndIsReadLater) {
  start(64);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(5 * page, 1)));
  ASSERT_TRUE(file->flush());
  ASSERT_TRUE(file->drop());
  disk(7)->refuse(DiskCall::pread, EIO);
  Bytes out(page);
  EXPECT_EQ(errno_of(file->read(page, out)), EIO);
  EXPECT_EQ(errno_of(file->write(page + 5, Bytes(10))), EIO) << "a part of a page needs the rest";
  EXPECT_TRUE(file->write(2 * page, Bytes(page))) << "a whole one does not";
  expect_sound();
  disk(7)->refuse_nothing();
  EXPECT_EQ(*file->read(page, out), page);
}

TEST_F(DiskFailures, ATruncationThatTheDiskRefusesChangesNothing) {
  start(64);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(5 * page, 1)));
  disk(7)->refuse(DiskCall::truncate, EIO);
  EXPECT_EQ(errno_of(file->truncate(page)), EIO);
  EXPECT_EQ(read_all(*file, 0, 6 * page), pattern(5 * page, 1));
  EXPECT_TRUE(file->flush());
  EXPECT_EQ(disk(7)->synced(), pattern(5 * page, 1));
}

TEST_F(DiskFailures, WhatASyncThatFailedMayHaveLostIsWrittenAnew) {
  start(64);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(3 * page, 1)));
  ASSERT_TRUE(file->flush());
  ASSERT_TRUE(write_all(*file, 0, pattern(3 * page, 2)));
  disk(7)->refuse(DiskCall::fdatasync, EIO, 1);
  EXPECT_EQ(errno_of(file->flush()), EIO);
  disk(7)->lose_what_is_not_synced();
  EXPECT_EQ(cache->counts().dirty, 3U);
  ASSERT_TRUE(file->flush());
  EXPECT_EQ(disk(7)->synced(), pattern(3 * page, 2));
}

// --- slow ones ----------------------------------------------------------------------------------

class SlowDisk : public CacheTest {
 protected:
  void stall_on(FileNumber number, DiskCall wanted) {
    disk(number)->on_call([this, wanted](DiskCall call) {
      if (call == wanted) stall.enter();
    });
  }
  Stall stall;
};

TEST_F(SlowDisk, OneFileThatWaitsForItsDiskHoldsUpNoOther) {
  start(64);
  const auto slow = open(7);
  const auto fast = open(8);
  ASSERT_TRUE(write_all(*slow, 0, pattern(5 * page, 1)));
  stall_on(7, DiskCall::pwrite);
  auto flushed = std::async(std::launch::async, [&] { return slow->flush(); });
  stall.wait_until_entered();
  ASSERT_TRUE(write_all(*fast, 0, pattern(20 * page, 2)));
  ASSERT_TRUE(fast->flush());
  EXPECT_EQ(read_all(*fast, 0, 20 * page), pattern(20 * page, 2));
  EXPECT_EQ(read_all(*slow, 0, 5 * page), pattern(5 * page, 1)) << "what is cached is there";
  EXPECT_TRUE(make_segment("s", 8));
  expect_sound();
  stall.release();
  EXPECT_TRUE(flushed.get());
}

TEST_F(SlowDisk, AStoreDuringWriteBackReachesTheDiskWithTheNextOne) {
  start(64);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(page, 1)));
  stall_on(7, DiskCall::pwrite);
  auto flushed = std::async(std::launch::async, [&] { return file->flush(); });
  stall.wait_until_entered();
  ASSERT_TRUE(write_all(*file, 0, pattern(page, 2)));
  auto second = std::async(std::launch::async, [&] { return file->flush(); });
  stall.release();
  EXPECT_TRUE(flushed.get());
  EXPECT_TRUE(second.get());
  EXPECT_EQ(disk(7)->synced(), pattern(page, 2));
  EXPECT_EQ(cache->counts().dirty, 0U);
}

TEST_F(SlowDisk, FlushWaitsForAWriteBackThatOthersHaveBegun) {
  start(64, {.dirty_age_ns = ns_per_ms, .dirty_pages_high = 1 << 20});
  const auto file = open(7);
  stall_on(7, DiskCall::pwrite);
  ASSERT_TRUE(write_all(*file, 0, pattern(page, 1)));
  stall.wait_until_entered();  // in the background
  auto flushed = std::async(std::launch::async, [&] { return file->flush(); });
  EXPECT_EQ(disk(7)->calls(DiskCall::fdatasync), 0U);
  stall.release();
  ASSERT_TRUE(flushed.get());
  EXPECT_EQ(disk(7)->synced(), pattern(page, 1));
}

TEST_F(SlowDisk, ATruncationWaitsForTheWriteBackThatWouldUndoIt) {
  start(64);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(10 * page, 1)));
  stall_on(7, DiskCall::pwrite);
  auto flushed = std::async(std::launch::async, [&] { return file->flush(); });
  stall.wait_until_entered();
  auto cut = std::async(std::launch::async, [&] { return file->truncate(10); });
  EXPECT_EQ(disk(7)->calls(DiskCall::truncate), 0U);
  stall.release();
  ASSERT_TRUE(cut.get());
  EXPECT_TRUE(flushed.get());
  ASSERT_TRUE(file->flush());
  EXPECT_EQ(disk(7)->synced(), part(pattern(10 * page, 1), 0, 10));
}

TEST_F(SlowDisk, APageIsReadFromTheDiskOnceHoweverManyWantIt) {
  start(64);
  {
    const auto file = open(7);
    ASSERT_TRUE(write_all(*file, 0, pattern(page, 1)));
    ASSERT_TRUE(file->flush());
    ASSERT_TRUE(file->drop());
  }
  const auto file = open(7);
  stall_on(7, DiskCall::pread);
  std::vector<std::future<Bytes>> readers;
  for (int i = 0; i < 4; ++i) {
    readers.push_back(std::async(std::launch::async, [&] { return read_all(*file, 0, page); }));
  }
  stall.wait_until_entered();
  stall.release();
  for (auto& reader : readers) EXPECT_EQ(reader.get(), pattern(page, 1));
  EXPECT_EQ(disk(7)->calls(DiskCall::pread), 1U);
}

}  // namespace
}  // namespace hive::cell::test
