// Who has which file open, and the content behind it.
#include <string>

#include "cell/files/open_files.h"
#include "cell/files/page_cache.h"
#include "cell/home/home.h"
#include "disk_fixture.h"
#include "mapped_node.h"
#include "memory_frames.h"

namespace hive::cell::test {
namespace {

constexpr FileNumber root = proto::file_root;
constexpr ClientId one = 1;
constexpr ClientId another = 2;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

class FilesOpen : public DiskTest {
 protected:
  std::string text(FileContent& content, std::uint64_t offset, std::size_t count) {
    std::string out(count, '?');
    const auto read = content.read(offset, std::as_writable_bytes(std::span(out)));
    if (!read) return "(" + read.error().message() + ")";
    out.resize(*read);
    return out;
  }
  FileContent& content(ClientId client, std::uint64_t handle) {
    return *open.find(client, handle)->content;
  }

  static constexpr std::uint32_t frames = 64;
  const machine::Layout layout = machine::make_layout(2, frames * machine::page_bytes);
  hive::test::MappedNode kernel{layout, self};
  TaggedHeap heap{kernel.heap(), kernel.heap_bytes()};
  MemoryFrames memory{frames};
  const std::unique_ptr<Home> home =
      *Home::create({.self = self, .layout = layout, .heap = &heap, .memory = &memory, .log = {}});
  // Nothing is written back before it has to be.
  const std::unique_ptr<PageCache> cache =
      *PageCache::create({.heap = &heap, .frames = home.get(), .node_frames = frames,
                          .self = self, .dirty_age_ns = 3600 * ns_per_s});
  OpenFiles open{*cache};
};

TEST_F(FilesOpen, ContentIsThatOfTheHostsFile) {
  const auto file = store->make_file(root, "x", 0600);
  const auto handle = open.open(*store, one, file->number);
  ASSERT_TRUE(handle) << handle.error().message();
  FileContent& x = content(one, *handle);
  EXPECT_EQ(*x.write(3, bytes_of("abc")), 3);
  EXPECT_EQ(x.size(), 6);
  EXPECT_EQ(text(x, 0, 100), std::string("\0\0\0abc", 6));
  EXPECT_EQ(text(x, 6, 1), "");
  EXPECT_EQ(text(x, ~std::uint64_t{0}, 1), "");
  const auto appended = x.append(bytes_of("d"));
  ASSERT_TRUE(appended);
  EXPECT_EQ(appended->offset, 6);
  EXPECT_TRUE(x.truncate(4));
  EXPECT_EQ(x.size(), 4);
  EXPECT_EQ(text(x, 3, 10), "a");
  EXPECT_TRUE(x.flush());
  EXPECT_EQ(errno_in(x.write(content_bytes_max, bytes_of("x"))), EFBIG);
  EXPECT_EQ(errno_in(x.truncate(content_bytes_max + 1)), EFBIG);
  EXPECT_EQ(store->status(file->number)->bytes, 4);
}

TEST_F(FilesOpen, HandlesAreOfOneClient) {
  const auto file = store->make_file(root, "x", 0600);
  const auto handle = open.open(*store, one, file->number);
  ASSERT_TRUE(handle);
  EXPECT_EQ(errno_in(open.find(another, *handle)), EBADF);
  EXPECT_EQ(errno_in(open.close(another, *handle)), EBADF);
  EXPECT_EQ(errno_in(open.find(one, *handle + 1)), EBADF);
  EXPECT_TRUE(open.close(one, *handle)->empty());
  EXPECT_EQ(errno_in(open.close(one, *handle)), EBADF);
  EXPECT_EQ(errno_in(open.open(*store, one, 99)), ENOENT);
  EXPECT_EQ(open.count(), 0);
}

TEST_F(FilesOpen, TheLastOneToCloseBuriesWhatHasNoName) {
  const auto file = store->make_file(root, "x", 0600);
  const auto first = open.open(*store, one, file->number);
  const auto second = open.open(*store, another, file->number);
  ASSERT_TRUE(store->unlink(root, "x"));
  EXPECT_FALSE(open.lose_name(file->number));
  EXPECT_EQ(errno_in(open.open(*store, one, file->number)), ENOENT);
  EXPECT_TRUE(content(one, *first).write(0, bytes_of("still")));
  EXPECT_TRUE(open.close(one, *first)->empty());
  EXPECT_EQ(text(content(another, *second), 0, 10), "still");
  EXPECT_EQ(open.close_all(another), std::vector{file->number});
  EXPECT_EQ(errno_in(open.open(*store, one, file->number)), ENOENT) << "it is being buried";
  EXPECT_EQ(cache->counts().dirty, 1U);
  EXPECT_TRUE(cache->forget(file->number));
  EXPECT_EQ(cache->counts().pages, 0U) << "nobody reads it any more";
  EXPECT_FALSE(open.lose_name(file->number)) << "once is enough";
  ASSERT_TRUE(store->bury(*file));
  open.buried(file->number);
  EXPECT_EQ(count("files"), 0);
}

TEST_F(FilesOpen, WhatNobodyHasOpenIsBuriedAtOnce) {
  const auto file = store->make_file(root, "x", 0600);
  EXPECT_TRUE(open.lose_name(file->number));
}

TEST_F(FilesOpen, ANewGenerationEndsOldHandlesOnly) {
  const auto file = store->make_file(root, "x", 0600);
  const auto other_file = store->make_file(root, "y", 0600);
  const auto old = open.open(*store, one, file->number);
  const auto untouched = open.open(*store, one, other_file->number);
  const auto generation = store->raise_generation(file->number);
  ASSERT_TRUE(generation);
  open.set_generation(file->number, *generation, 0);
  const auto lost = open.find(one, *old);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::lost);
  EXPECT_EQ(lost.error().sys_errno, EIO);
  EXPECT_TRUE(open.find(one, *untouched));
  const auto fresh = open.open(*store, another, file->number);
  EXPECT_TRUE(open.find(another, *fresh));
  EXPECT_TRUE(open.close(one, *old)) << "it can be closed";
}

TEST_F(FilesOpen, WhileALossIsNotOnTheDiskNobodyOpensTheFileAndOldHandlesHaveEnded) {
  const auto file = store->make_file(root, "x", 0600);
  const auto other_file = store->make_file(root, "y", 0600);
  const auto old = open.open(*store, one, file->number);
  open.begin_losing(file->number);
  EXPECT_EQ(errno_in(open.find(one, *old)), EIO);
  EXPECT_EQ(errno_in(open.open(*store, another, file->number)), EBUSY);
  EXPECT_TRUE(open.open(*store, another, other_file->number));
  const auto generation = store->raise_generation(file->number);
  ASSERT_TRUE(generation);
  open.know_lost(file->number);
  open.set_generation(file->number, *generation, open.known_loss(file->number));
  EXPECT_EQ(errno_in(open.find(one, *old)), EIO);
  const auto fresh = open.open(*store, another, file->number);
  ASSERT_TRUE(fresh);
  EXPECT_TRUE(open.find(another, *fresh));
}

TEST_F(FilesOpen, ALossThatBeginsWhileAnotherEndsIsNotOverWithIt) {
  const auto file = store->make_file(root, "x", 0600);
  EXPECT_EQ(open.known_loss(file->number), 0u);
  open.begin_losing(file->number);
  EXPECT_EQ(open.known_loss(file->number), 0u) << "nobody knows what to drop yet";
  open.know_lost(file->number);
  const std::uint64_t first = open.known_loss(file->number);
  ASSERT_NE(first, 0u);
  open.begin_losing(file->number);
  EXPECT_EQ(open.known_loss(file->number), 0u);
  open.set_generation(file->number, *store->raise_generation(file->number), first);
  EXPECT_TRUE(open.is_losing(file->number));
  EXPECT_EQ(errno_in(open.open(*store, another, file->number)), EBUSY);
  open.know_lost(file->number);
  open.set_generation(file->number, *store->raise_generation(file->number),
                      open.known_loss(file->number));
  EXPECT_FALSE(open.is_losing(file->number));
  EXPECT_TRUE(open.open(*store, another, file->number));
}

TEST_F(FilesOpen, ATaskHasItsLimit) {
  const auto file = store->make_file(root, "x", 0600);
  for (std::size_t i = 0; i < open_files_per_task; ++i) {
    ASSERT_TRUE(open.open(*store, one, file->number));
  }
  EXPECT_EQ(errno_in(open.open(*store, one, file->number)), EMFILE);
  EXPECT_TRUE(open.open(*store, another, file->number));
  open.close_all(one);
  EXPECT_TRUE(open.open(*store, one, file->number));
}

}  // namespace
}  // namespace hive::cell::test
