// Segments and files share the frames of a node: who needs some gets them from the cache.

#include <future>

#include "cache_fixture.h"
#include "proto/lock.h"
#include "stall.h"

namespace hive::cell::test {
namespace {

class Reclaim : public CacheTest {
 protected:
  std::uint64_t first_word(const SegmentView& segment) {
    std::uint64_t word = 0;
    const auto bytes = std::as_writable_bytes(std::span(&word, 1));
    EXPECT_TRUE(memory->read(segment.pages.first * page, bytes));
    return word;
  }
};

TEST_F(Reclaim, ASegmentGetsItsFramesFromTheCacheWhichWritesBackWhatIsDirty) {
  start(64);
  const auto file = open(7);
  const Bytes bytes = pattern(64 * page, 1);
  ASSERT_TRUE(write_all(*file, 0, bytes));
  ASSERT_EQ(home->frames_in(FrameState::free), 0U);
  const auto segment = make_segment("s", 40);
  ASSERT_TRUE(segment) << segment.error().message();
  EXPECT_EQ(home->frames_in(FrameState::segment), 40U);
  EXPECT_LE(home->frames_in(FrameState::cached), 24U);
  expect_sound();
  Bytes content(40 * page);
  ASSERT_TRUE(memory->read(segment->pages.first * page, content));
  EXPECT_EQ(content, Bytes(40 * page)) << "nothing of the file is in it";
  EXPECT_EQ(read_all(*file, 0, 65 * page), bytes);
  ASSERT_TRUE(home->close_segment(client, segment->id));
  ASSERT_TRUE(make_segment("all", 64)) << "the whole node, from cache and segment";
  Bytes out(page);
  EXPECT_EQ(errno_of(file->read(0, out)), ENOMEM) << "there is nothing left for files";
  expect_sound();
}

TEST_F(Reclaim, AMutexNeedsAFrameToo) {
  start(32);
  const auto segment = make_segment("s", 4);
  ASSERT_TRUE(segment);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(40 * page, 1)));
  ASSERT_EQ(home->frames_in(FrameState::free), 0U);
  EXPECT_TRUE(home->open_lock(client, segment->id, proto::LockKind::mutex, "m"));
  EXPECT_EQ(read_all(*file, 0, 41 * page), pattern(40 * page, 1));
}

TEST_F(Reclaim, DirtyPagesThatCannotBeWrittenAreNotTaken) {
  start(32);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(32 * page, 1)));
  disk(7)->set_room(0);
  const auto refused = make_segment("s", 20);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::exhausted);
  EXPECT_EQ(read_all(*file, 0, 33 * page), pattern(32 * page, 1));
  EXPECT_EQ(errno_of(file->flush()), ENOSPC);
  disk(7)->refuse_nothing();
  EXPECT_TRUE(make_segment("s", 20));
  EXPECT_EQ(read_all(*file, 0, 33 * page), pattern(32 * page, 1));
}

TEST_F(Reclaim, WhileTheDiskIsSlowTheHomeServesOthers) {
  start(64);
  const auto small = make_segment("small", 2);
  ASSERT_TRUE(small);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(62 * page, 1)));
  Stall stall;
  disk(7)->on_call([&](DiskCall call) {
    if (call == DiskCall::pwrite) stall.enter();
  });
  auto made = std::async(std::launch::async, [&] { return make_segment("large", 30); });
  stall.wait_until_entered();
  EXPECT_TRUE(home->open_segment(client, "small"));
  EXPECT_EQ(read_all(*file, 60 * page, page),
            part(pattern(62 * page, 1), 60 * page, page));
  expect_sound();
  stall.release();
  const auto large = made.get();
  ASSERT_TRUE(large) << large.error().message();
  EXPECT_EQ(first_word(*large), 0U);
}

TEST_F(Reclaim, ManySegmentsComeAndGoWhileFilesAreReadAndWritten) {
  start(96);
  std::atomic<bool> over{false};
  std::vector<std::thread> users;
  for (FileNumber number = 1; number <= 2; ++number) {
    users.emplace_back([this, number, &over] {
      const auto file = open(number);
      for (unsigned round = 0; !over; ++round) {
        ASSERT_TRUE(write_all(*file, 0, pattern(50 * page, round)));
        ASSERT_EQ(read_all(*file, 0, 50 * page), pattern(50 * page, round));
      }
    });
  }
  for (int i = 0; i < 60; ++i) {
    const auto pages = static_cast<std::uint32_t>(1 + i * 7 % 40);
    const auto segment = make_segment("s" + std::to_string(i), pages);
    if (!segment) {
      EXPECT_EQ(segment.error().code, Code::exhausted);
      continue;
    }
    Bytes content(pages * page);
    ASSERT_TRUE(memory->read(segment->pages.first * page, content));
    EXPECT_EQ(content, Bytes(pages * page));
    ASSERT_TRUE(memory->write(segment->pages.first * page, Bytes(pages * page, std::byte{0xff})));
    // As if somebody had been given it.
    ASSERT_TRUE(home->give(client, segment->id, 0, pages));
    ASSERT_TRUE(home->close_segment(client, segment->id));
    expect_sound();
  }
  over = true;
  for (std::thread& user : users) user.join();
}

}  // namespace
}  // namespace hive::cell::test
