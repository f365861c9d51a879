#include "cell/home/page_bits.h"

#include <random>

#include <gtest/gtest.h>

#include "cell/frames/frame_allocator.h"

namespace hive::cell {
namespace {

using machine::PageRange;

TEST(PageBits, AgreeWithAPlainArray) {
  constexpr std::uint32_t pages = 300;
  constexpr unsigned seed = 4711;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  PageBits bits(pages);
  std::vector<bool> model(pages);
  for (int round = 0; round < 3000; ++round) {
    const std::uint32_t first = random() % pages;
    const PageRange range{first, static_cast<std::uint32_t>(random() % (pages - first + 1))};
    const bool value = random() % 2 == 0;
    if (round % 3 == 0) {
      std::uint32_t changed = 0;
      for (std::uint32_t p = range.first; p < range.end(); ++p) {
        changed += model[p] != value ? 1 : 0;
        model[p] = value;
      }
      ASSERT_EQ(bits.assign(range, value), changed);
    }
    std::uint32_t set = 0;
    for (std::uint32_t p = range.first; p < range.end(); ++p) set += model[p] ? 1 : 0;
    ASSERT_EQ(bits.count(range), set);
    ASSERT_EQ(bits.any(range), set > 0);
    std::uint32_t covered = 0;
    std::uint32_t last_end = range.first;
    for (const PageRange run : bits.runs(range, value)) {
      ASSERT_GE(run.first, last_end);
      ASSERT_LE(run.end(), range.end());
      for (std::uint32_t p = run.first; p < run.end(); ++p) ASSERT_EQ(model[p], value);
      covered += run.count;
      last_end = run.end() + 1;  // runs do not touch
    }
    ASSERT_EQ(covered, value ? set : range.count - set);
  }
}

TEST(FrameAllocator, TakesTheFirstRunThatFitsAndJoinsWhatComesBack) {
  FrameAllocator frames(10);
  const auto a = frames.allocate(3);
  const auto b = frames.allocate(3);
  const auto c = frames.allocate(3);
  ASSERT_TRUE(a && b && c);
  EXPECT_EQ(*a, (PageRange{0, 3}));
  EXPECT_EQ(*b, (PageRange{3, 3}));
  EXPECT_EQ(*c, (PageRange{6, 3}));
  EXPECT_FALSE(frames.allocate(2));
  frames.free(*a);
  frames.free(*c);
  EXPECT_FALSE(frames.allocate(5));
  frames.free(*b);
  EXPECT_EQ(frames.free_pages(), 10u);
  EXPECT_EQ(frames.allocate(10), (PageRange{0, 10}));
  EXPECT_FALSE(frames.allocate(1));
  EXPECT_FALSE(frames.allocate(0));
}

TEST(FrameAllocator, NeverHandsAPageOutTwice) {
  constexpr unsigned seed = 99;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  constexpr std::uint32_t pages = 500;
  FrameAllocator frames(pages);
  std::vector<bool> used(pages);
  std::vector<PageRange> held;
  for (int round = 0; round < 5000; ++round) {
    if (random() % 2 == 0 || held.empty()) {
      const auto range = frames.allocate(1 + random() % 40);
      if (!range) continue;
      for (std::uint32_t p = range->first; p < range->end(); ++p) {
        ASSERT_FALSE(used[p]);
        used[p] = true;
      }
      held.push_back(*range);
    } else {
      const std::size_t i = random() % held.size();
      for (std::uint32_t p = held[i].first; p < held[i].end(); ++p) used[p] = false;
      frames.free(held[i]);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  for (const PageRange range : held) frames.free(range);
  EXPECT_EQ(frames.allocate(pages), (PageRange{0, pages}));
}

}  // namespace
}  // namespace hive::cell
