// The hash table of a page cache, as its cell publishes it: (file, page) to frame and sequence.
//
//   buckets: [ frame | none ] --> entry of that frame --next--> entry of another --> none
//
// There is one entry for each frame of the node, and behind them some for borrowed frames. An
// entry says whose node its frame is of, and which it is there. Written
// by the owner alone, one thread at a time. Others read it by careful reference (libhive's
// PageFinder); what they find is a hint: it holds if the pfdat of the frame has the same even
// sequence number before and after they copied the bytes. An entry is changed as a whole
// (changing.h), so that no reader sees the file of one page with the number of another. A reader
// that is led astray by a chain that changes under him finds nothing, or the entry of another
// page, and asks the cell.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <hive/error.h>
#include "base/ids.h"
#include "cell/careful/changing.h"
#include "cell/files/content.h"
#include "cell/heap/tagged_heap.h"
#include "proto/pages.h"

namespace hive::cell {

inline constexpr std::uint32_t no_frame = proto::no_entry;

using CacheEntry = proto::PageEntry;

struct CacheTableHead {
  static constexpr std::uint32_t type = type_name("PGCH");
  TypeTag tag;
  std::uint32_t frames = 0;   // entries: the node's frames, and places for borrowed ones
  std::uint32_t buckets = 0;  // a power of two
  std::atomic<std::uint64_t> pages{0};  // that are cached
  std::atomic<std::uint64_t> dirty{0};
  std::atomic<std::uint32_t> sweep{1};  // of the clock hand; never 0
  std::uint32_t reserved = 0;
  // Behind it: the buckets, then the entries.
};
using CacheBucket = std::atomic<std::uint32_t>;
static_assert(sizeof(CacheBucket) == 4);
static_assert(sizeof(Changing<CacheEntry>) == sizeof(proto::PublishedEntry));

// How many buckets a table for so many frames has, and how many bytes.
constexpr std::uint32_t cache_buckets(std::uint32_t frames) {
  return proto::page_buckets(frames);
}
constexpr std::size_t cache_table_bytes(std::uint32_t frames) {
  return sizeof(CacheTableHead) + cache_buckets(frames) * sizeof(CacheBucket) +
         std::size_t{frames} * sizeof(Changing<CacheEntry>);
}

// Borrowed frames that a cell has at most, if its node has so many.
constexpr std::uint32_t borrowed_frames_max(std::uint32_t node_frames) { return node_frames; }

// The owner's side. Not thread-safe.
class CacheTable {
 public:
  // Of the cell `self`; `heap` outlives it. Errors: exhausted.
  static Result<CacheTable> create(TaggedHeap& heap, std::uint32_t frames, CellId self);
  CacheTable(CacheTable&& other) noexcept;
  CacheTable& operator=(CacheTable&&) = delete;
  ~CacheTable();

  CacheTableHead& head() const { return *head_; }
  std::uint32_t frames() const { return head_->frames; }

  std::optional<std::uint32_t> find(FileNumber file, std::uint32_t page) const;
  // The page is not in the table, nor is the frame. `sequence` odd: nobody else may use it yet.
  void link(std::uint32_t frame, FileNumber file, std::uint32_t page, std::uint64_t sequence);
  // Others may use it from now on, where it is.
  void set_sequence(std::uint32_t frame, std::uint64_t sequence, CellId home,
                    std::uint32_t home_frame);
  void unlink(std::uint32_t frame);
  const CacheEntry& entry(std::uint32_t frame) const { return changing(frame).unchecked(); }

 private:
  CacheTable(TaggedHeap& heap, CacheTableHead* head, CellId self)
      : heap_(&heap), head_(head), self_(static_cast<std::int16_t>(self)) {}
  CacheBucket& bucket(FileNumber file, std::uint32_t page) const;
  Changing<CacheEntry>& changing(std::uint32_t frame) const;

  TaggedHeap* heap_;
  CacheTableHead* head_;
  std::int16_t self_;
};

}  // namespace hive::cell
