// Files and directories as objects of a disk.
#include "disk_fixture.h"

#include <sys/resource.h>
#include <csignal>

namespace hive::cell::test {
namespace {

constexpr FileNumber root = proto::file_root;

class DiskObjects : public DiskTest {};

TEST_F(DiskObjects, ModesAreKeptAlsoThoseThatWouldLockTheCellOut) {
  const auto file = store->make_file(root, "x", 0);
  const auto directory = store->make_directory(root, "d", 0111);
  ASSERT_TRUE(file && directory);
  for (int life = 0; life < 2; ++life) {
    EXPECT_EQ(store->status(file->number)->mode, 0);
    EXPECT_EQ(store->status(directory->number)->mode, 0111);
    EXPECT_TRUE(store->open_content(file->number));
    reopen();
  }
  ASSERT_TRUE(store->set_mode(file->number, 04755));
  EXPECT_EQ(store->status(file->number)->mode, 04755);
  EXPECT_EQ(count("attributes"), 1) << "that of the directory";
  EXPECT_EQ(errno_in(store->set_mode(99, 0600)), ENOENT);
}

TEST_F(DiskObjects, TimesAreKeptToTheNanosecond) {
  const auto file = store->make_file(root, "x", 0600);
  ASSERT_TRUE(store->set_times(file->number, 1'234'567'890'123'456'789, -1));
  auto status = store->status(file->number);
  EXPECT_EQ(status->accessed_ns, 1'234'567'890'123'456'789);
  EXPECT_EQ(status->modified_ns, -1);
  ASSERT_TRUE(store->set_times(file->number, proto::file_time_omit, proto::file_time_now));
  status = store->status(file->number);
  EXPECT_EQ(status->accessed_ns, 1'234'567'890'123'456'789);
  EXPECT_GT(status->modified_ns, 1'600'000'000'000'000'000);
}

TEST_F(DiskObjects, AGenerationGoesUpAndStaysThere) {
  const auto file = store->make_file(root, "x", 0600);
  EXPECT_EQ(store->status(file->number)->generation, 0);
  EXPECT_EQ(*store->raise_generation(file->number), 1);
  EXPECT_EQ(*store->raise_generation(file->number), 2);
  reopen();
  EXPECT_EQ(*store->generation(file->number), 2);
  ASSERT_TRUE(store->unlink(root, "x"));
  ASSERT_TRUE(store->bury(*file));
  EXPECT_EQ(count("attributes"), 0);
}

TEST_F(DiskObjects, NumbersAreNeverUsedTwice) {
  FileNumber last = 0;
  for (int life = 0; life < 5; ++life) {
    const auto file = store->make_file(root, "x", 0600);
    ASSERT_TRUE(file);
    EXPECT_GT(file->number, last);
    last = file->number;
    ASSERT_TRUE(store->unlink(root, "x"));
    ASSERT_TRUE(store->bury(*file));
    reopen();
  }
}

TEST_F(DiskObjects, AFileForAnotherHomeWaitsForItsName) {
  const auto made = store->make_for(other, 0644);
  const auto never = store->make_for(other, 0644);
  ASSERT_TRUE(made && never);
  const FileEntry entry{FileKind::file, self, *made};
  const FileEntry lost{FileKind::file, self, *never};
  ASSERT_TRUE(store->adopt(entry));
  reopen();
  EXPECT_FALSE(store->unsettled(entry));
  ASSERT_TRUE(store->unsettled(lost));
  EXPECT_EQ(store->unsettled(lost)->cell, other);
  EXPECT_FALSE(*store->drop_claim(entry)) << "it has its name";
  EXPECT_TRUE(*store->drop_claim(lost));
  reopen();
  EXPECT_EQ(errno_in(store->open_content(*never)), ENOENT);
  EXPECT_EQ(errno_in(store->adopt(lost)), ENOENT);
  EXPECT_EQ(errno_in(store->drop(lost)), 0) << "twice is fine";
  EXPECT_TRUE(store->open_content(*made));
  ASSERT_TRUE(store->drop(entry));
  EXPECT_EQ(errno_in(store->adopt(entry)), ENOENT) << "too late";
  reopen();
  EXPECT_EQ(count("files"), 0);
}

TEST_F(DiskObjects, OtherKindsAreNotOpened) {
  const auto link = store->make_link(root, "l", "/etc/passwd");
  const auto directory = store->make_directory(root, "d", 0700);
  EXPECT_EQ(errno_in(store->open_content(link->number)), EINVAL);
  EXPECT_EQ(errno_in(store->open_content(directory->number)), EINVAL);
  EXPECT_EQ(errno_in(store->read_link(directory->number)), ENOENT);
  EXPECT_EQ(store->status(link->number)->bytes, 11);
  EXPECT_EQ(store->status(link->number)->mode & 0777, 0777);
}

TEST_F(DiskObjects, SpaceIsThatOfTheHost) {
  const auto space = store->space();
  ASSERT_TRUE(space);
  EXPECT_GT(space->total_bytes, 0);
  EXPECT_LE(space->free_bytes, space->total_bytes);
}

}  // namespace
}  // namespace hive::cell::test
