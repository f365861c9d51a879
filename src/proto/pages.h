// What a cell publishes of the files that it is the data home of, so that tasks read cached pages
// in place: without a call, by careful reference. Written by the cell alone, in its kernel memory.
//
//   FileRecord     of a file that somebody has open: generation, size, whether it is being cut
//   table          head, buckets, entries: (file, page) -> memory home, frame, sequence number
//   PublishedFrame of each frame of a node, at its *memory home*: the sequence number that proves
//                  that a frame held one page from before a copy until after it
//
// An entry is a hint. Bytes that were copied from a frame are of the page if the frame's number at
// its memory home was the entry's, and even, before the copy and after it.
//
// The cell's own sides: cell/files/cache_table.h, file_record.h, cell/frames/pfdat.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/ids.h"

namespace hive::proto {

// What every structure in the heap of a kernel begins with.
struct PublishedTag {
  std::uint32_t type = 0;
  std::uint32_t count = 0;
};

inline constexpr std::uint32_t no_entry = ~std::uint32_t{0};
// Further than so many entries into a chain nobody looks who can ask instead.
inline constexpr std::uint32_t page_chain_max = 8;

// "FREC". Of one file, as long as somebody has it open.
struct FileRecord {
  static constexpr std::uint32_t type = 0x43455246;
  PublishedTag tag;
  std::uint64_t number = 0;
  // Odd while bytes that were there may go: a truncation, or what was cached is lost. Goes up.
  std::uint64_t version = 0;
  std::uint64_t size = 0;        // grows when the bytes are there
  std::uint64_t generation = 0;  // another than when it was opened: content was lost
};
static_assert(sizeof(FileRecord) == 40);

// "PGCH". The table follows it: buckets, then one entry for each of `frames`.
struct PageTableHead {
  static constexpr std::uint32_t type = 0x48434750;
  PublishedTag tag;
  std::uint32_t frames = 0;
  std::uint32_t buckets = 0;  // a power of two
  std::uint64_t pages = 0;
  std::uint64_t dirty = 0;
  // Goes up with every sweep of the clock hand: what a reader marks pages with (gate.h, `used`).
  std::uint32_t sweep = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(PageTableHead) == 40);

struct PageEntry {
  std::uint64_t file = 0;      // 0: there is none
  std::uint64_t sequence = 1;  // odd: it is being filled
  std::uint32_t page = 0;
  std::uint32_t next = no_entry;   // in the chain: another entry
  std::uint32_t frame = 0;         // of the memory home's user memory
  std::int16_t data_home = -1;     // of the file
  std::int16_t memory_home = -1;   // of the frame
};
// It changes as a whole: `change` is odd meanwhile, and another one after.
struct PublishedEntry {
  std::uint32_t change = 0;
  std::uint32_t reserved = 0;
  PageEntry entry;
};
static_assert(sizeof(PublishedEntry) == 40);

struct PublishedFrame {
  std::uint64_t sequence = 0;  // odd: what it holds is nobody's
  std::uint64_t owner = 0;     // the file, while it holds a page
  std::uint32_t page = 0;
  std::uint32_t state = 0;
};
static_assert(sizeof(PublishedFrame) == 24);

// Where a cell has all this, as its welcome says; addresses in its kernel memory.
struct PageRoots {
  std::uint64_t table = 0;   // 0: there is none
  std::uint64_t frames = 0;  // the first PublishedFrame; one for each page of the node
};

// Spreads neighbouring pages of a file, and the same page of neighbouring files.
constexpr std::uint32_t page_hash(std::uint64_t file, std::uint32_t page) {
  std::uint64_t x = file * 0x9e3779b97f4a7c15 + page;
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93;
  return static_cast<std::uint32_t>(x >> 32);
}
// How many buckets a table for so many frames has, and where things lie in it.
constexpr std::uint32_t page_buckets(std::uint32_t frames) {
  std::uint32_t buckets = 2;
  while (buckets < frames) buckets *= 2;
  return buckets;
}
constexpr std::uint64_t page_bucket_offset(std::uint32_t bucket) {
  return sizeof(PageTableHead) + std::uint64_t{bucket} * sizeof(std::uint32_t);
}
constexpr std::uint64_t page_entry_offset(std::uint32_t buckets, std::uint32_t entry) {
  return page_bucket_offset(buckets) + std::uint64_t{entry} * sizeof(PublishedEntry);
}

// Pages that a reader asks the memory home for (GateOp::page_give), in the data of the request.
struct WantedPage {
  std::uint32_t frame = 0;
  std::uint32_t page = 0;
  std::uint64_t file = 0;
  std::uint64_t sequence = 0;
};
static_assert(sizeof(WantedPage) == 24);
inline constexpr std::uint32_t wanted_pages_max = 256;

}  // namespace hive::proto
