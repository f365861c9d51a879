// What a data home publishes for tasks that read in place, and how it learns what they use.

#include <set>

#include "cache_fixture.h"
#include "cell/careful/careful.h"

namespace hive::cell::test {
namespace {

struct FileRecordView {
  std::uint64_t number = 0;
  std::uint64_t version = 0;
  std::uint64_t size = 0;
  std::uint64_t generation = 0;
};

class Readers : public CacheTest {
 protected:
  FileRecordView look(const FileContent& content) {
    FileRecordView seen;
    const auto record = CarefulReader(layout, self).read<FileRecord>(content.record());
    EXPECT_TRUE(record);
    if (!record) return seen;
    seen = {(*record)->number, (*record)->version.load(), (*record)->size.load(),
            (*record)->generation.load()};
    return seen;
  }
  std::set<std::uint32_t> cached_pages(FileNumber file, std::uint32_t pages) {
    std::set<std::uint32_t> found;
    for (std::uint32_t p = 0; p < pages; ++p) {
      if (find_page(file, p)) found.insert(p);
    }
    return found;
  }
  std::uint32_t frame_of(FileNumber file, std::uint32_t number) {
    const auto place = find_page(file, number);
    EXPECT_TRUE(place);
    return place->frame;
  }
};

// Readers who mark always the same frames, as if they used them all the time.
class Marks final : public PageMarks {
 public:
  explicit Marks(std::set<std::uint32_t> entries) : entries_(std::move(entries)) {}
  bool is_used(std::uint32_t entry, std::uint32_t) const override {
    return entries_.contains(entry);
  }

 private:
  const std::set<std::uint32_t> entries_;
};

TEST_F(Readers, TheRecordOfAFileSaysItsSizeAndGeneration) {
  start(32);
  const auto file = open(7);
  file->set_generation(3);
  FileRecordView seen = look(*file);
  EXPECT_EQ(seen.number, 7U);
  EXPECT_EQ(seen.size, 0U);
  EXPECT_EQ(seen.generation, 3U);
  EXPECT_EQ(seen.version % 2, 0U);
  const std::uint64_t before = seen.version;
  ASSERT_TRUE(write_all(*file, 0, pattern(5000, 1)));
  seen = look(*file);
  EXPECT_EQ(seen.size, 5000U);
  EXPECT_EQ(seen.version, before) << "nothing was taken away";
  ASSERT_TRUE(file->truncate(100));
  seen = look(*file);
  EXPECT_EQ(seen.size, 100U);
  EXPECT_EQ(seen.version, before + 2);
  EXPECT_EQ(open(7)->record(), file->record()) << "there is one for all who have it open";
}

TEST_F(Readers, WhileAFileIsCutItsRecordSaysSo) {
  start(32);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(5000, 1)));
  ASSERT_TRUE(file->flush());
  std::uint64_t meanwhile = 0;
  disk(7)->on_call([&](DiskCall call) {
    if (call == DiskCall::truncate) meanwhile = look(*file).version;
  });
  ASSERT_TRUE(file->truncate(10));
  EXPECT_EQ(meanwhile % 2, 1U);
  EXPECT_EQ(look(*file).version, meanwhile + 1);
}

TEST_F(Readers, WhatIsReadInPlaceStaysCached) {
  start(32);
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(16 * page, 1)));
  ASSERT_TRUE(file->flush());
  const std::set<std::uint32_t> used = {frame_of(7, 2), frame_of(7, 11)};
  cache->use_marks([&] { return std::make_shared<Marks>(used); });
  for (int i = 0; i < 6; ++i) read_others(8);
  EXPECT_EQ(cached_pages(7, 16), (std::set<std::uint32_t>{2, 11}));
}

TEST_F(Readers, ATaskThatMarksAllPagesKeepsNobodyFromAFrame) {
  start(32);
  std::set<std::uint32_t> all;
  for (std::uint32_t frame = 0; frame < 32; ++frame) all.insert(frame);
  cache->use_marks([&] { return std::make_shared<Marks>(all); });
  const auto file = open(7);
  const Bytes bytes = pattern(100 * page, 1);
  ASSERT_TRUE(write_all(*file, 0, bytes));
  EXPECT_EQ(read_all(*file, 0, bytes.size()), bytes);
}

}  // namespace
}  // namespace hive::cell::test
