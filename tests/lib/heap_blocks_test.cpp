// The blocks of a heap: disjoint, aligned, joined again, and checked.
#include "lib/heap_blocks.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "random_moments.h"

namespace hive::test {
namespace {

// The blocks alone, in memory of the test.
class BlocksTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t bytes = 1 << 20;
  BlocksTest() : arena(bytes / 64), blocks(begin(), bytes) { blocks.format(); }
  std::byte* begin() { return arena.data()->bytes.data(); }

  struct alignas(64) Line {
    std::array<std::byte, 64> bytes;
  };
  std::vector<Line> arena;
  lib::HeapBlocks blocks;
};

TEST_F(BlocksTest, WhateverIsAllocatedIsDisjointAlignedAndComesBack) {
  struct Piece {
    std::byte* p;
    std::size_t bytes;
    std::byte mark;
  };
  RandomMoments random;
  std::vector<Piece> pieces;
  const auto release = [&](std::size_t i) {
    const Piece piece = pieces[i];
    pieces[i] = pieces.back();
    pieces.pop_back();
    ASSERT_TRUE(
        std::all_of(piece.p, piece.p + piece.bytes, [&](std::byte b) { return b == piece.mark; }));
    ASSERT_TRUE(blocks.release(piece.p));
  };
  int refused = 0;
  for (int i = 0; i < 60'000; ++i) {
    if (!pieces.empty() && random.below(100) < 48) {
      release(random.below(pieces.size()));
      continue;
    }
    const std::size_t size = random.below(std::size_t{1} << (1 + random.below(14)));
    const std::size_t alignment = random.below(4) == 0 ? std::size_t{1} << random.below(9) : 16;
    std::byte* const p = blocks.allocate(size, alignment);
    if (p == nullptr) {
      ++refused;
      if (!pieces.empty()) release(0);
      continue;
    }
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(p) % alignment, 0U);
    pieces.push_back({p, size, static_cast<std::byte>(i)});
    std::fill_n(p, size, static_cast<std::byte>(i));
    ASSERT_TRUE(i % 500 != 0 || blocks.check());
  }
  EXPECT_GT(refused, 0);
  while (!pieces.empty()) release(pieces.size() - 1);
  ASSERT_TRUE(blocks.check());
  EXPECT_EQ(blocks.used(), 0U);
  EXPECT_NE(blocks.allocate(bytes - 64, 16), nullptr);  // one block again
}

TEST_F(BlocksTest, WhatIsNotAllocatedCannotBeReleased) {
  std::byte* const p = blocks.allocate(100, 16);
  std::byte* const q = blocks.allocate(100, 16);
  ASSERT_TRUE(p != nullptr && q != nullptr);
  std::byte local{};
  const std::array<std::byte*, 7> wrong = {p + 8,   p + 16, begin(), begin() + bytes,
                                           nullptr, &local, p};
  ASSERT_TRUE(blocks.release(p));
  for (std::byte* const w : wrong) {
    lib::HeapBlocks other(begin(), bytes);
    ASSERT_TRUE(other.adopt());
    EXPECT_FALSE(other.release(w));
    EXPECT_TRUE(other.broken());
    EXPECT_EQ(other.allocate(1, 1), nullptr);
  }
  EXPECT_TRUE(blocks.release(q));
  EXPECT_FALSE(blocks.release(q));
}

TEST_F(BlocksTest, NonsenseInTheArenaIsAnErrorAndNoCrash) {
  RandomMoments random;
  std::vector<Line> good;
  std::vector<std::byte*> all;
  for (int i = 0; i < 2000; ++i) all.push_back(blocks.allocate(random.below(300), 16));
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(blocks.release(all[static_cast<std::size_t>(i) * 2]));
  good = arena;
  int corrupt = 0;
  for (int round = 0; round < 300; ++round) {
    std::copy(good.begin(), good.end(), arena.begin());
    lib::HeapBlocks other(begin(), bytes);
    const bool before = round % 2 == 0;  // found when it is taken over, or in use
    ASSERT_TRUE(before || other.adopt());
    for (std::uint64_t n = 1 + random.below(20); n > 0; --n) {
      const std::uint64_t value =
          random.below(2) == 0 ? random.below(~std::uint64_t{0}) : random.below(200) * 16;
      std::memcpy(begin() + random.below(200'000) / 8 * 8, &value, sizeof value);
    }
    if (before && !other.adopt()) {
      ++corrupt;
      continue;
    }
    for (int i = 0; i < 500; ++i) {
      if (random.below(2) == 0)
        (void)other.allocate(random.below(1000), 16);
      else
        (void)other.release(all[random.below(all.size())]);
    }
  }
  EXPECT_GT(corrupt, 10);
}

}  // namespace
}  // namespace hive::test
