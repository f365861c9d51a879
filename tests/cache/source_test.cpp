// What a file service asks of the cache besides content: what the disk does not know yet, files
// that are removed, and the end.

#include "cache_fixture.h"
#include "cell/files/host_file.h"

namespace hive::cell::test {
namespace {

using ContentSourceTest = CacheTest;

TEST_F(ContentSourceTest, StatusIsWhatTheDiskDoesNotKnowYet) {
  start(64);
  EXPECT_FALSE(cache->status(7)) << "nobody has it open";
  const std::int64_t before = wall_clock_ns();
  {
    const auto file = open(7);
    EXPECT_EQ(cache->status(7)->modified_ns, 0) << "as the disk has it";
    ASSERT_TRUE(write_all(*file, 0, pattern(2 * page + 1, 1)));
  }
  const auto dirty = cache->status(7);
  ASSERT_TRUE(dirty) << "it stays while nobody has it open";
  EXPECT_EQ(dirty->bytes, 2 * page + 1);
  EXPECT_EQ(dirty->unwritten_bytes, 3 * page);
  EXPECT_EQ(cache->unwritten_bytes(), 3 * page);
  EXPECT_GE(dirty->modified_ns, before);
  EXPECT_EQ(dirty->changed_ns, dirty->modified_ns);
  ASSERT_TRUE(open(7)->flush());
  EXPECT_EQ(cache->unwritten_bytes(), 0U);
  EXPECT_EQ(cache->status(7)->unwritten_bytes, 0U);
  EXPECT_EQ(disk(7)->modified_ns(), dirty->modified_ns) << "of the write, not of the write-back";
}

TEST_F(ContentSourceTest, ATimeThatWasSetStaysUntilTheNextWrite) {
  start(64);
  const auto file = open(7);
  cache->set_modified(7, 5);
  EXPECT_EQ(cache->status(7)->modified_ns, 0) << "nothing was written: the disk has it";
  ASSERT_TRUE(write_all(*file, 0, pattern(page, 1)));
  cache->set_modified(7, -3);
  EXPECT_EQ(disk(7)->modified_ns(), -3);
  ASSERT_TRUE(file->flush());
  EXPECT_EQ(cache->status(7)->modified_ns, -3);
  EXPECT_EQ(disk(7)->modified_ns(), -3);
  EXPECT_GT(cache->status(7)->changed_ns, 0);
  ASSERT_TRUE(file->truncate(0));
  EXPECT_GT(cache->status(7)->modified_ns, 0);
  EXPECT_EQ(disk(7)->modified_ns(), cache->status(7)->modified_ns);
}

TEST_F(ContentSourceTest, AFileThatIsForgottenLeavesNothingAndTakesNothing) {
  start(64);
  { ASSERT_TRUE(write_all(*open(7), 0, pattern(3 * page, 1))); }
  const auto other = open(8);
  ASSERT_TRUE(write_all(*other, 0, pattern(page, 1)));
  EXPECT_TRUE(cache->forget(7));
  EXPECT_TRUE(cache->forget(7)) << "what is not there is fine";
  EXPECT_FALSE(cache->status(7));
  EXPECT_EQ(home->frames_in(FrameState::cached), 1U);
  EXPECT_TRUE(disk(7)->written().empty());

  // Somebody is a moment late.
  EXPECT_TRUE(cache->forget(8));
  EXPECT_EQ(errno_of(other->write(0, Bytes(1))), EBADF);
  Bytes out(1);
  EXPECT_EQ(errno_of(other->read(0, out)), EBADF);
  EXPECT_EQ(errno_of(cache->open(8, [] { return HostFile::open("/none"); })), ENOENT);
  EXPECT_EQ(cache->counts().pages, 0U);
  EXPECT_EQ(home->frames_in(FrameState::cached), 0U);
}

TEST_F(ContentSourceTest, AllIsFlushedAlsoWhatNobodyHasOpenAndAfterAnError) {
  start(64);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(page, 1)));
  { ASSERT_TRUE(write_all(*open(8), 0, pattern(page, 2))); }
  { (void)read_all(*open(9), 0, page); }
  disk(7)->refuse(DiskCall::pwrite, EIO);
  EXPECT_EQ(errno_of(cache->flush_all()), EIO);
  EXPECT_EQ(disk(8)->synced(), pattern(page, 2));
  EXPECT_EQ(disk(9)->calls(DiskCall::fdatasync), 0U) << "nothing was written to it";
  disk(7)->refuse_nothing();
  EXPECT_TRUE(cache->flush_all());
  EXPECT_EQ(disk(7)->synced(), pattern(page, 1));
  EXPECT_EQ(disk(8)->calls(DiskCall::fdatasync), 1U);
}

TEST_F(ContentSourceTest, AFlushOfAllEndsInTime) {
  start(64);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(page, 1)));
  const auto late = cache->flush_all(now_ns());
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::timed_out);
  EXPECT_EQ(cache->counts().dirty, 1U);
}

}  // namespace
}  // namespace hive::cell::test
