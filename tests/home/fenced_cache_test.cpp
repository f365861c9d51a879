// Frames of files in real page tables: a process that was given one loses it before it holds
// another page.

#include <cstring>

#include "cell/files/page_cache.h"
#include "fenced_home.h"
#include "lib/page_finder.h"

namespace hive::cell::test {
namespace {

constexpr std::uint64_t unit = sizeof(std::uint64_t);
constexpr std::uint64_t hour_ns = 3600 * ns_per_s;

// A file of which each word says which page of which file it is in.
class StampedFile final : public FileBacking {
 public:
  StampedFile(FileNumber number, std::uint64_t pages) : number_(number), pages_(pages) {}
  static std::uint64_t stamp(FileNumber number, std::uint64_t page) { return number << 32 | page; }

  Result<std::size_t> pread(std::uint64_t offset, std::span<std::byte> out) override {
    for (std::size_t at = 0; at + unit <= out.size(); at += unit) {
      const std::uint64_t word = stamp(number_, (offset + at) / page);
      std::memcpy(out.data() + at, &word, unit);
    }
    return out.size();
  }
  Result<void> pwrite(std::uint64_t, std::span<const std::byte>) override { return {}; }
  Result<void> fdatasync() override { return {}; }
  Result<void> truncate(std::uint64_t) override { return {}; }
  Result<std::uint64_t> size() override { return pages_ * page; }
  Result<void> set_modified(std::int64_t) override { return {}; }

 private:
  const FileNumber number_;
  const std::uint64_t pages_;
};

class FencedCache : public FencedHome {
 protected:
  void SetUp() override {
    FencedHome::SetUp();
    if (IsSkipped()) return;
    cache = *PageCache::create({.heap = &*heap, .frames = home.get(), .node_frames = pages,
                                .self = self, .dirty_age_ns = hour_ns});
  }
  void TearDown() override {
    if (cache) {
      const auto sound = home->check_frames().sound;
      EXPECT_TRUE(sound) << sound.error().message();
    }
    cache.reset();
    FencedHome::TearDown();
  }
  std::shared_ptr<FileContent> open(FileNumber number, std::uint64_t file_pages) {
    return *cache->open(number, [=]() -> Result<std::unique_ptr<FileBacking>> {
      return std::make_unique<StampedFile>(number, file_pages);
    });
  }
  void read(FileContent& file, std::uint64_t first, std::uint64_t count) {
    std::vector<std::byte> out(page);
    for (std::uint64_t p = first; p < first + count; ++p) ASSERT_TRUE(file.read(p * page, out));
  }
  // As who looks it up in the published table.
  std::optional<HeldFrame> find(FileNumber number, std::uint32_t file_page) {
    const lib::PageFinder published(layout, self,
                                    {cache->table_address(), home->first_pfdat()});
    const auto found = published.find(number, file_page);
    if (!found) return std::nullopt;
    return HeldFrame{found->entry.frame, file_page, number, found->entry.sequence};
  }
  Result<std::uint32_t> give(const Actor& actor, const HeldFrame& held) {
    return home->give_cached(actor.id, {&held, 1});
  }
  std::uint64_t address(const HeldFrame& held) const {
    return layout.user_begin(self) + held.frame * page;
  }

  std::unique_ptr<PageCache> cache;
};

TEST_F(FencedCache, AProcessReadsAPageInPlaceWhenItWasGivenIt) {
  const Actor actor = spawn();
  const auto file = open(7, 64);
  read(*file, 0, 16);
  const auto held = find(7, 3);
  ASSERT_TRUE(held);
  EXPECT_FALSE(actor.puppet->load(address(*held))) << "not yet";
  ASSERT_TRUE(give(actor, *held));
  EXPECT_EQ(actor.puppet->load(address(*held)), StampedFile::stamp(7, 3));
  EXPECT_FALSE(actor.puppet->store(address(*held), 1));
  HeldFrame wrong = *held;
  wrong.page = 4;
  EXPECT_EQ(give(actor, wrong).error().code, Code::not_found);
  wrong = *held;
  wrong.sequence -= 2;
  EXPECT_EQ(give(actor, wrong).error().code, Code::not_found);
}

TEST_F(FencedCache, AFrameThatIsReusedIsInNobodysPageTable) {
  const Actor actor = spawn();
  const auto file = open(7, 16);
  read(*file, 0, 16);
  std::vector<HeldFrame> given;
  for (std::uint32_t p = 0; p < 16; ++p) {
    const auto held = find(7, p);
    ASSERT_TRUE(held);
    ASSERT_TRUE(give(actor, *held));
    ASSERT_EQ(actor.puppet->load(address(*held)), StampedFile::stamp(7, p));
    given.push_back(*held);
  }
  const auto other = open(8, 4 * pages);
  read(*other, 0, 4 * pages);
  EXPECT_GT(cache->counts().evicted, pages);
  std::uint32_t reused = 0;
  for (const HeldFrame& held : given) {
    const auto now = find(7, held.page);
    if (now && now->frame == held.frame && now->sequence == held.sequence) continue;
    ++reused;
    EXPECT_FALSE(actor.puppet->load(address(held))) << "page " << held.page;
    EXPECT_EQ(give(actor, held).error().code, Code::not_found);
  }
  EXPECT_GT(reused, 0U);
}

TEST_F(FencedCache, AFrameThatASegmentGetsIsInNobodysPageTable) {
  const Actor actor = spawn();
  const auto file = open(7, pages);
  read(*file, 0, pages);
  const auto held = find(7, 5);
  ASSERT_TRUE(held);
  ASSERT_TRUE(give(actor, *held));
  ASSERT_EQ(actor.puppet->load(address(*held)), StampedFile::stamp(7, 5));
  ASSERT_EQ(make(kernel, "all", pages).pages.count, pages);
  EXPECT_FALSE(actor.puppet->load(address(*held)));
  EXPECT_EQ(look(address(*held)).value_or(1), 0U) << "zero, as all of a new segment";
}

}  // namespace
}  // namespace hive::cell::test
