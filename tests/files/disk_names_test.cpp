// Names on a disk.
#include "disk_fixture.h"

namespace hive::cell::test {
namespace {

using Names = std::vector<std::string>;
constexpr FileNumber root = proto::file_root;

class DiskNames : public DiskTest {};

TEST_F(DiskNames, WhatIsMadeIsFoundAlsoByTheNextKernel) {
  const auto file = store->make_file(root, "a file", 0640);
  const auto directory = store->make_directory(root, "directory", 0755);
  ASSERT_TRUE(file && directory);
  const auto link = store->make_link(directory->number, "link", "../a file");
  ASSERT_TRUE(link) << link.error().message();
  for (int life = 0; life < 2; ++life) {
    EXPECT_EQ(*store->lookup(root, "a file"), *file);
    EXPECT_EQ(*store->lookup(directory->number, "link"), *link);
    EXPECT_EQ(*store->read_link(link->number), "../a file");
    EXPECT_EQ(store->status(file->number)->mode, 0640);
    EXPECT_EQ(names(root), (Names{"a file", "directory"}));
    EXPECT_TRUE(store->unsettled().empty());
    reopen();
  }
}

TEST_F(DiskNames, NamesAreAsPosixWantsThem) {
  const auto make = [&](const std::string& name) {
    return errno_in(store->make_file(root, name, 0600));
  };
  EXPECT_EQ(make(""), ENOENT);
  EXPECT_EQ(make("."), EINVAL);
  EXPECT_EQ(make(".."), EINVAL);
  EXPECT_EQ(make("a/b"), EINVAL);
  EXPECT_EQ(make(std::string("a\0b", 3)), EINVAL);
  EXPECT_EQ(make(std::string(256, 'x')), ENAMETOOLONG);
  EXPECT_EQ(make(std::string(255, 'x')), 0);
  EXPECT_EQ(make("\x01\xff:%\n"), 0);
  EXPECT_EQ(make("\x01\xff:%\n"), EEXIST);
  EXPECT_EQ(errno_in(store->lookup(root, "none")), ENOENT);
  EXPECT_EQ(errno_in(store->make_file(77, "x", 0600)), ENOENT);
  EXPECT_EQ(errno_in(store->make_link(root, "x", "")), ENOENT);
  EXPECT_EQ(errno_in(store->make_link(root, "x", std::string(4096, 'x'))), ENAMETOOLONG);
}

TEST_F(DiskNames, AListIsReadInPieces) {
  Names all;
  for (int i = 100; i < 150; ++i) {
    all.push_back("name" + std::to_string(i));
    ASSERT_TRUE(store->make_file(root, all.back(), 0600));
  }
  Names seen;
  bool more = true;
  while (more) {
    const auto piece = store->list(root, seen.empty() ? "" : seen.back(), 100, more);
    ASSERT_TRUE(piece);
    ASSERT_FALSE(piece->empty());
    for (const auto& one : *piece) seen.push_back(one.name);
  }
  EXPECT_EQ(seen, all);
}

TEST_F(DiskNames, AFileWithoutANameIsBuriedAtTheNextStart) {
  const auto file = store->make_file(root, "x", 0600);
  ASSERT_TRUE(file);
  EXPECT_EQ(*store->unlink(root, "x"), *file);
  EXPECT_EQ(errno_in(store->lookup(root, "x")), ENOENT);
  EXPECT_TRUE(store->open_content(file->number)) << "somebody may have it open";
  ASSERT_TRUE(store->make_file(root, "x", 0600));
  reopen();
  EXPECT_EQ(errno_in(store->open_content(file->number)), ENOENT);
  EXPECT_EQ(count("files"), 1);
  EXPECT_TRUE(store->unsettled().empty());
}

TEST_F(DiskNames, DirectoriesGoWhenTheyAreEmpty) {
  const auto directory = store->make_directory(root, "d", 0700);
  ASSERT_TRUE(store->make_file(directory->number, "x", 0600));
  EXPECT_EQ(errno_in(store->remove_directory(root, "d")), ENOTEMPTY);
  EXPECT_EQ(errno_in(store->unlink(root, "d")), EISDIR);
  EXPECT_EQ(errno_in(store->remove_directory(directory->number, "x")), ENOTDIR);
  ASSERT_TRUE(store->unlink(directory->number, "x"));
  EXPECT_EQ(errno_in(store->remove_directory(root, "d")), 0);
  EXPECT_EQ(names(root), Names{});
  EXPECT_EQ(errno_in(store->make_file(directory->number, "y", 0600)), ENOENT);
}

TEST_F(DiskNames, RenameReplacesWhatPosixLetsIt) {
  const auto file = store->make_file(root, "file", 0600);
  const auto old = store->make_file(root, "old", 0600);
  const auto empty = store->make_directory(root, "empty", 0700);
  const auto full = store->make_directory(root, "full", 0700);
  ASSERT_TRUE(store->make_file(full->number, "x", 0600));
  EXPECT_EQ(errno_in(store->rename(root, "none", root, "x")), ENOENT);
  EXPECT_EQ(errno_in(store->rename(root, "file", root, "empty")), EISDIR);
  EXPECT_EQ(errno_in(store->rename(root, "empty", root, "file")), ENOTDIR);
  EXPECT_EQ(errno_in(store->rename(root, "empty", root, "full")), ENOTEMPTY);
  EXPECT_EQ(errno_in(store->rename(root, "file", 99, "x")), ENOENT);
  const auto replaced = store->rename(root, "file", root, "old");
  ASSERT_TRUE(replaced);
  EXPECT_EQ(**replaced, *old);
  ASSERT_TRUE(store->drop(**replaced));
  ASSERT_TRUE(store->bury(**replaced));
  EXPECT_EQ(*store->lookup(root, "old"), *file);
  EXPECT_TRUE(store->rename(root, "old", root, "old"));
  EXPECT_TRUE(store->rename(root, "full", root, "empty"));
  EXPECT_EQ(*store->lookup(root, "empty"), *full);
  EXPECT_EQ(errno_in(store->status(empty->number)), ENOENT);
  EXPECT_TRUE(store->rename(root, "old", full->number, "moved"));
  EXPECT_EQ(names(full->number), (Names{"moved", "x"}));
  EXPECT_TRUE(store->unsettled().empty());
}

TEST_F(DiskNames, WhatAnotherHomeMadeIsUnsettledUntilItWasTold) {
  const FileEntry far{FileKind::file, other, 17};
  ASSERT_TRUE(store->link(root, "far", far));
  EXPECT_EQ(*store->lookup(root, "far"), far);
  EXPECT_EQ(errno_in(store->unlink(root, "far")), EBUSY);
  EXPECT_EQ(errno_in(store->rename(root, "far", root, "x")), EBUSY);
  reopen();
  ASSERT_EQ(store->unsettled().size(), 1);
  EXPECT_EQ(store->unsettled(far)->name, "far");
  ASSERT_TRUE(store->forget(far));
  EXPECT_EQ(*store->unlink(root, "far"), far);
  reopen();
  ASSERT_TRUE(store->unsettled(far)) << "its home was not told";
  ASSERT_TRUE(store->forget(far));
  EXPECT_TRUE(store->unsettled().empty());
}

TEST_F(DiskNames, AMoveToAnotherHomeKeepsTheNameUntilItIsThere) {
  const auto file = store->make_file(root, "x", 0600);
  ASSERT_TRUE(store->begin_move(root, "x", other, 5, "y"));
  EXPECT_EQ(*store->lookup(root, "x"), *file);
  EXPECT_EQ(errno_in(store->unlink(root, "x")), EBUSY);
  reopen();
  const auto pending = store->unsettled(*file);
  ASSERT_TRUE(pending);
  EXPECT_EQ(pending->what, Pending::What::move);
  EXPECT_EQ(pending->cell, other);
  EXPECT_EQ(pending->to_directory, 5);
  EXPECT_EQ(pending->to_name, "y");
  ASSERT_TRUE(store->end_move(*file, false));
  EXPECT_EQ(*store->lookup(root, "x"), *file);
  ASSERT_TRUE(store->begin_move(root, "x", other, 5, "y"));
  ASSERT_TRUE(store->end_move(*file, true));
  EXPECT_EQ(errno_in(store->lookup(root, "x")), ENOENT);
  EXPECT_TRUE(store->open_content(file->number)) << "it has a name, elsewhere";
  reopen();
  EXPECT_TRUE(store->open_content(file->number));
}

TEST_F(DiskNames, WhatComesFromAnotherHomeReplaces) {
  const auto old = store->make_file(root, "y", 0600);
  const FileEntry far{FileKind::file, other, 17};
  const auto replaced = store->take_over(root, "y", far);
  ASSERT_TRUE(replaced);
  EXPECT_EQ(**replaced, *old);
  EXPECT_FALSE(*store->take_over(root, "y", far)) << "twice is fine";
  EXPECT_TRUE(*store->leads_to(root, far));
  EXPECT_FALSE(*store->leads_to(root, *old));
  EXPECT_FALSE(*store->leads_to(44, far));
  reopen();
  EXPECT_EQ(count("files"), 0);
}

TEST_F(DiskNames, AnotherShapeOfTheMachineIsRefusedWhenThereAreFiles) {
  store.reset();
  store = std::move(*DiskStore::open(path, self, 8));  // nothing is on it yet
  ASSERT_TRUE(store->make_file(root, "x", 0600));
  store.reset();
  EXPECT_EQ(errno_in(DiskStore::open(path, self, cells)), EMEDIUMTYPE);
  EXPECT_EQ(errno_in(DiskStore::open(path, self, 8)), 0);
}

}  // namespace
}  // namespace hive::cell::test
