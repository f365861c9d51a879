// The first bytes of a heap (hive/heap.h); the arena of heap_blocks.h follows.
#pragma once

#include <cstddef>
#include <cstdint>

#include <hive/segment.h>

namespace hive::lib {

inline constexpr std::uint64_t heap_magic = 0x0170'6165'6876'6948;  // "Hivheap", layout 1
inline constexpr std::uint64_t heap_head_bytes = 128;

struct HeapHead {
  std::uint64_t magic = 0;
  std::uint64_t length = 0;  // of the whole heap
  // Odd while a writer has it open. Begins with the time of create() in nanoseconds and goes up by
  // one with each opening and commit, each of which takes longer than that: no two heaps ever made
  // at this place have a stamp in common.
  std::uint64_t stamp = 0;
  std::uint64_t root = 0;  // offset in the segment; 0: none
  std::uint64_t root_bytes = 0;
};
static_assert(sizeof(HeapHead) <= heap_head_bytes);

// Whether an object lies in the arena of a heap, and aligned. All count from the segment's
// beginning.
constexpr bool in_heap(std::uint64_t heap, std::uint64_t length, std::uint64_t offset,
                       std::uint64_t bytes, std::uint64_t alignment) {
  const std::uint64_t begin = heap + heap_head_bytes;
  const std::uint64_t end = heap + length;
  return offset >= begin && offset <= end && bytes <= end - offset && offset % alignment == 0;
}

}  // namespace hive::lib
