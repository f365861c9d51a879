// Calls on one file that meet: each of these orders once lost something, or lasted for ever.

#include <sys/resource.h>

#include <unistd.h>

#include <atomic>
#include <fstream>
#include <future>
#include <system_error>
#include <thread>

#include "cache_fixture.h"
#include "stall.h"

namespace hive::cell::test {
namespace {

using Meetings = CacheTest;

// Linux tells one of the two of the failure. The other one must not take that for success.
TEST_F(Meetings, ASyncBesideOneThatFailsDoesNotPromiseWhatThatHasLost) {
  start(64);
  const auto file = open(7);
  const Bytes bytes = pattern(3 * page, 1);
  ASSERT_TRUE(write_all(*file, 0, bytes));
  Stall stall;
  std::atomic<bool> first{true};
  disk(7)->refuse(DiskCall::fdatasync, EIO, 1);
  disk(7)->after_sync([&](bool) {
    if (!first.exchange(false)) return;
    disk(7)->lose_what_is_not_synced();
    stall.enter();  // it knows, and has not said so yet
  });
  auto failing = std::async(std::launch::async, [&] { return file->flush(); });
  stall.wait_until_entered();
  auto beside = std::async(std::launch::async, [&] { return file->flush(); });
  (void)beside.wait_for(std::chrono::milliseconds(50));  // it may wait, or answer at once
  stall.release();
  EXPECT_EQ(errno_of(failing.get()), EIO);
  const bool has_promised = beside.get().has_value();
  EXPECT_TRUE(!has_promised || disk(7)->synced() == bytes);
  ASSERT_TRUE(file->flush());
  EXPECT_EQ(disk(7)->synced(), bytes);
}

// A write that needs a frame while all of them hold dirty pages of the same file, on which a
// truncation waits for just this write.
TEST_F(Meetings, AWriteThatNeedsFramesAndATruncationDoNotWaitForEachOther) {
  constexpr std::uint32_t frames = 32;
  constexpr int rounds = 300;
  start(frames);
  const auto file = open(7);
  std::atomic<bool> over{false};
  std::thread cutter([&] {
    while (!over) EXPECT_TRUE(file->truncate(3 * frames * page));
  });
  const Bytes bytes = pattern(content_call_bytes_max, 1);
  for (int i = 0; i < rounds && !HasFailure(); ++i) {
    for (std::uint64_t at = 5; at + bytes.size() < 3 * frames * page; at += bytes.size()) {
      const auto wrote = file->write(at, bytes);
      EXPECT_TRUE(wrote);
      EXPECT_EQ(*wrote, bytes.size());
    }
  }
  over = true;
  cutter.join();
}

// A host's file that tells how long it was before `meanwhile`.
class LateBacking final : public FileBacking {
 public:
  LateBacking(std::shared_ptr<DiskFile> file, std::function<void()> meanwhile)
      : disk_(std::move(file)), meanwhile_(std::move(meanwhile)) {}
  Result<std::uint64_t> size() override {
    const auto size = disk_.size();
    if (meanwhile_) std::exchange(meanwhile_, nullptr)();
    return size;
  }
  Result<std::size_t> pread(std::uint64_t at, std::span<std::byte> out) override {
    return disk_.pread(at, out);
  }
  Result<void> pwrite(std::uint64_t at, std::span<const std::byte> bytes) override {
    return disk_.pwrite(at, bytes);
  }
  Result<void> fdatasync() override { return disk_.fdatasync(); }
  Result<void> truncate(std::uint64_t bytes) override { return disk_.truncate(bytes); }
  Result<void> set_modified(std::int64_t ns) override { return disk_.set_modified(ns); }

 private:
  DiskBacking disk_;
  std::function<void()> meanwhile_;
};

TEST_F(Meetings, AFileThatGrewWhileItWasOpenedIsNotCutToWhatItWas) {
  start(64);
  const Bytes bytes = pattern(3 * page + 5, 1);
  const auto meanwhile = [&] {
    const auto other = open(7);
    ASSERT_TRUE(write_all(*other, 0, bytes));
    ASSERT_TRUE(other->flush());
    ASSERT_TRUE(other->drop());  // as when its frames are needed
  };
  const auto file = cache->open(7, [&]() -> Result<std::unique_ptr<FileBacking>> {
    return std::make_unique<LateBacking>(disk(7), meanwhile);
  });
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->size(), bytes.size());
  const auto appended = (*file)->append(pattern(10, 2));
  ASSERT_TRUE(appended);
  EXPECT_EQ(appended->offset, bytes.size()) << "what fsync has acknowledged is not written over";
  EXPECT_EQ(read_all(**file, 0, bytes.size()), bytes);
}

// However long one waits, each of these files is tried for no more often than something happens.
TEST_F(Meetings, FilesThatNobodyHasOpenAndThatCannotBeWrittenAreNotTriedForAllTheTime) {
  constexpr std::uint64_t files = idle_files_max + 20;
  start(1024, {.dirty_age_ns = 3600 * ns_per_s, .retry_ns = 3600 * ns_per_s,
               .dirty_pages_high = 1 << 20});
  for (FileNumber number = 1; number <= files; ++number) {
    const auto file = open(number);
    disk(number)->refuse(DiskCall::pwrite, ENOSPC);
    ASSERT_TRUE(write_all(*file, 0, pattern(page, 1)));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LE(cache->counts().failures, 4 * files);
  for (FileNumber number = 1; number <= files; ++number) disk(number)->refuse_nothing();
}

// In a process of its own, whose memory has no room for the stack of a thread.
void open_without_threads(PageCache& cache, std::shared_ptr<DiskFile> disk) {
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t most = pages * page + (1 << 20);
  const rlimit limit{most, most};
  if (::setrlimit(RLIMIT_AS, &limit) != 0) ::_exit(2);
  try {  // stacks that the C library has kept are used up first
    for (int i = 0; i < 1000; ++i) std::thread([] { ::pause(); }).detach();
    ::_exit(3);
  } catch (const std::system_error&) {
  }
  const auto opened = cache.open(7, [&]() -> Result<std::unique_ptr<FileBacking>> {
    return std::make_unique<DiskBacking>(std::move(disk));
  });
  ::_exit(!opened && opened.error().sys_errno == EAGAIN ? 0 : 1);
}

TEST_F(Meetings, AHostThatGivesNoThreadsIsAnError) {
  start(64);
  EXPECT_EXIT(open_without_threads(*cache, disk(7)), ::testing::ExitedWithCode(0), "");
  EXPECT_TRUE(open(7)) << "another time";
}

}  // namespace
}  // namespace hive::cell::test
