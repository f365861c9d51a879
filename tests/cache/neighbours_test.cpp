// What other cells read of a page cache, with nobody's help; and what they would read if one of
// the rules were left out.

#include <atomic>
#include <thread>

#include "cache_fixture.h"

namespace hive::cell::test {
namespace {

constexpr std::uint32_t cached_pages = 24;

// A page whose every word says which one it is, and which version.
Bytes stamped(FileNumber file, std::uint32_t number, std::uint64_t version = 0) {
  std::vector<std::uint64_t> words(page / sizeof(std::uint64_t),
                                   file << 48 | std::uint64_t{number} << 16 | version);
  const auto bytes = std::as_bytes(std::span(words));
  return {bytes.begin(), bytes.end()};
}

class Neighbours : public CacheTest {
 protected:
  std::uint64_t sequence_of(std::uint32_t frame) {
    std::uint64_t sequence = 1;
    EXPECT_TRUE(published().load_sequence(frame, sequence));
    return sequence;
  }
  // A read in place once the page is found: load the number, copy, load it again.
  std::optional<Bytes> copy(const proto::PageEntry& place) {
    if (sequence_of(place.frame) != place.sequence) return std::nullopt;
    std::atomic_thread_fence(std::memory_order_seq_cst);
    Bytes bytes(page);
    EXPECT_TRUE(memory->read(place.frame * page, bytes));
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (sequence_of(place.frame) != place.sequence) return std::nullopt;
    return bytes;
  }
  void fill(FileContent& content, FileNumber number, std::uint32_t pages) {
    for (std::uint32_t p = 0; p < pages; ++p) {
      ASSERT_TRUE(write_all(content, p * page, stamped(number, p)));
    }
    ASSERT_TRUE(content.flush());
  }
  // Someone has looked page 3 of file 7 up, and goes on just after its frame got other content.
  // Returns what he took for this page that is not.
  int wrong_bytes_when_reused(PageCache::Sabotage sabotage) {
    start(16, {.dirty_age_ns = 3600 * ns_per_s, .dirty_pages_high = 1 << 20,
               .sabotage = sabotage});
    const auto file = open(7);
    fill(*file, 7, 8);
    const auto place = find_page(7, 3);
    EXPECT_TRUE(place);
    EXPECT_EQ(copy(*place), stamped(7, 3));
    int wrong = 0;
    memory->after_write([&] {
      const auto bytes = copy(*place);
      if (bytes && *bytes != stamped(7, 3)) ++wrong;
    });
    const auto other = open(8);
    fill(*other, 8, 60);
    memory->after_write({});
    EXPECT_FALSE(copy(*place)) << "the frame was reused";
    return wrong;
  }
};

TEST_F(Neighbours, FindWhatIsCachedAndNothingElse) {
  start(64);
  const auto file = open(7);
  fill(*file, 7, 20);
  for (std::uint32_t p = 0; p < 20; ++p) {
    const auto place = find_page(7, p);
    ASSERT_TRUE(place) << p;
    EXPECT_EQ(copy(*place), stamped(7, p));
    EXPECT_FALSE(find_page(8, p));
  }
  EXPECT_FALSE(find_page(7, 20));
  const auto cut = *find_page(7, 10);
  ASSERT_TRUE(file->truncate(5 * page));
  EXPECT_FALSE(find_page(7, 10));
  EXPECT_FALSE(copy(cut)) << "who has looked it up before does not believe it";
  EXPECT_TRUE(find_page(7, 4));
}

TEST_F(Neighbours, APfdatSaysWhichPageTheFrameHolds) {
  start(64);
  const auto file = open(7);
  fill(*file, 7, 3);
  const auto place = *find_page(7, 2);
  const auto* table = reinterpret_cast<const PfdatTable*>(home->root()->pfdats);
  EXPECT_EQ(table->at(place.frame).state.load(), FrameState::cached);
  EXPECT_EQ(table->at(place.frame).owner.load(), 7U);
  EXPECT_EQ(table->at(place.frame).page.load(), 2U);
  EXPECT_EQ(table->at(place.frame).sequence.load(), place.sequence);
}

TEST_F(Neighbours, ACorruptTableIsAnErrorAndNoTrap) {
  start(64);
  const auto file = open(7);
  fill(*file, 7, 1);
  auto* head = reinterpret_cast<CacheTableHead*>(cache->table_address());
  const std::uint32_t bucket_count = head->buckets;
  const std::uint32_t frame_count = head->frames;
  for (const std::uint32_t wrong : {0U, bucket_count * 3, 1U << 31}) {
    head->buckets = wrong;
    EXPECT_FALSE(find_page(7, 0)) << wrong << " buckets";
  }
  head->buckets = bucket_count;
  for (const std::uint32_t wrong : {0U, frame_count - 1, 1U << 31}) {
    head->frames = wrong;
    EXPECT_FALSE(find_page(7, 0)) << wrong << " frames";
  }
  head->frames = frame_count;
  const std::uint32_t type = head->tag.type;
  head->tag.type = 0;
  EXPECT_FALSE(find_page(7, 0));
  head->tag.type = type;
  auto* buckets = reinterpret_cast<CacheBucket*>(head + 1);
  std::vector<std::uint32_t> kept;
  for (std::uint32_t i = 0; i < bucket_count; ++i) kept.push_back(buckets[i].exchange(1 << 30));
  EXPECT_FALSE(find_page(7, 0));
  for (std::uint32_t i = 0; i < bucket_count; ++i) buckets[i] = kept[i];
  const auto place = find_page(7, 0);
  ASSERT_TRUE(place);
  // A chain that goes round.
  auto* entries = reinterpret_cast<proto::PublishedEntry*>(
      cache->table_address() + proto::page_entry_offset(bucket_count, 0));
  proto::PageEntry& entry = entries[place->frame].entry;
  const proto::PageEntry sound = entry;
  entry.next = place->frame;
  entry.page = 1;
  EXPECT_FALSE(find_page(7, 0));
  entry = sound;
  // Frames and cells that there are not.
  entry.frame = node_frames;
  EXPECT_FALSE(find_page(7, 0));
  entry = sound;
  entry.memory_home = 2;
  EXPECT_FALSE(find_page(7, 0));
  entry = sound;
  EXPECT_TRUE(find_page(7, 0));
}

TEST_F(Neighbours, NeverTakeOnePageForAnotherWhateverIsReclaimedMeanwhile) {
  start(cached_pages);
  constexpr std::uint32_t file_pages = 60;
  const auto file = open(7);
  fill(*file, 7, file_pages);
  const auto other = open(8);
  fill(*other, 8, file_pages);
  std::atomic<bool> over{false};
  std::vector<std::thread> users;
  for (unsigned i = 0; i < 2; ++i) {
    users.emplace_back([&, i] {
      Bytes out(2 * page);
      std::minstd_rand random(test_seed() + i);
      while (!over) {
        ASSERT_TRUE((i == 0 ? file : other)->read(random() % file_pages * page, out));
      }
    });
  }
  std::uint64_t found = 0;
  std::minstd_rand random(test_seed());
  while (found < 2000) {
    const FileNumber number = 7 + random() % 2;
    const auto p = static_cast<std::uint32_t>(random() % file_pages);
    const auto place = find_page(number, p);
    if (!place) continue;
    const auto bytes = copy(*place);
    if (!bytes) continue;
    ++found;
    ASSERT_EQ(*bytes, stamped(number, p));
  }
  over = true;
  for (std::thread& user : users) user.join();
  EXPECT_GT(cache->counts().evicted, 0U);
}

TEST_F(Neighbours, WhoLooksAtAReusedFrameSeesThatItIs) {
  EXPECT_EQ(wrong_bytes_when_reused({}), 0);
}

TEST_F(Neighbours, WithoutANewNumberInTimeOneTakesAnotherPageForIt) {
  EXPECT_GT(wrong_bytes_when_reused({.sequence = true}), 0);
}

TEST_F(Neighbours, WithoutWriteBackBeforeReuseWhatWasWrittenIsLost) {
  start(16, {.dirty_age_ns = 3600 * ns_per_s, .dirty_pages_high = 1 << 20,
             .sabotage = {.write_back = true}});
  const auto file = open(7);
  ASSERT_TRUE(write_all(*file, 0, pattern(40 * page, 1)));
  EXPECT_NE(read_all(*file, 0, 40 * page), pattern(40 * page, 1));
}

}  // namespace
}  // namespace hive::cell::test
