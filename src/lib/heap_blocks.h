// The blocks of a heap (hive/heap.h): they lie one after the other from the beginning of the arena
// to a last one of size 0, and each knows its own size and that of the one before.
//
//    | size, free? | size of the one before | what the program has there ...
//    | size, free! | size of the one before | next | previous free one | unused ...
//
// Only this is in the segment. Which blocks are free, by size, is kept outside and built anew by
// adopt(): first by the highest bit of the size, then by the three bits after it. Offsets count
// from the beginning of the arena.
//
// The arena is open for stores to this task alone, but the program stores there too: whatever is
// read is checked before it is used, and what makes no sense makes the heap broken, for good.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <hive/error.h>

namespace hive::lib {

inline constexpr std::uint64_t block_step = 16;
inline constexpr std::uint64_t block_head_bytes = 16;
inline constexpr std::uint64_t block_bytes_min = 32;

// Not thread-safe.
class HeapBlocks {
 public:
  // The arena begins and ends at a multiple of 16 and holds at least one block and the last one.
  HeapBlocks(std::byte* arena, std::uint64_t bytes)
      : arena_(arena), end_(bytes - block_head_bytes) {
    for (auto& row : first_) row.fill(none);
  }

  // Makes all of it one free block.
  void format();
  // Takes over blocks that are there. Errors: corrupt; then this object is of no use.
  Result<void> adopt();
  // Looks at every block. Errors: corrupt.
  Result<void> check() const;

  // Null: no free block is large enough, or broken. `alignment`: a power of two.
  std::byte* allocate(std::uint64_t bytes, std::uint64_t alignment);
  // False: nothing is allocated there, which makes the heap broken.
  bool release(const std::byte* p);

  bool broken() const { return broken_; }
  std::uint64_t used() const { return used_; }
  std::uint64_t free() const { return end_ - used_; }

 private:
  static constexpr std::uint64_t none = ~std::uint64_t{0};
  static constexpr std::uint64_t free_bit = 1;
  static constexpr int classes = 64;
  static constexpr int parts_log2 = 3;
  static constexpr int parts = 1 << parts_log2;
  static constexpr int looks_max = 8;  // at blocks of a class that may be too small

  struct Block {  // as in the segment
    std::uint64_t size_and_free;
    std::uint64_t before;
    std::uint64_t size() const { return size_and_free & ~free_bit; }
    bool is_free() const { return (size_and_free & free_bit) != 0; }
  };
  struct Links {
    std::uint64_t next;
    std::uint64_t previous;
  };
  struct Bin {
    int row;
    int part;
  };

  Block& block(std::uint64_t at) const { return *reinterpret_cast<Block*>(arena_ + at); }
  Links& links(std::uint64_t at) const {
    return *reinterpret_cast<Links*>(arena_ + at + block_head_bytes);
  }
  static Bin bin_of(std::uint64_t size);
  bool is_block(std::uint64_t at) const;
  bool is_free_block(std::uint64_t at) const;
  template <class Visit>
  Result<void> walk(Visit visit) const;

  void set(std::uint64_t at, std::uint64_t size, bool is_free);
  void put_in(std::uint64_t at);
  bool take_out(std::uint64_t at);
  std::uint64_t find(std::uint64_t size) const;
  std::uint64_t find_in(Bin bin, std::uint64_t size) const;
  std::byte* broken_now();

  std::byte* const arena_;
  const std::uint64_t end_;  // where the last block lies, the one of size 0
  std::array<std::array<std::uint64_t, parts>, classes> first_;
  std::uint64_t rows_ = 0;                        // a bit for each row of first_ that is not empty
  std::array<std::uint8_t, classes> parts_of_{};  // and for each part of it
  std::uint64_t used_ = 0;
  bool broken_ = false;
};

}  // namespace hive::lib
