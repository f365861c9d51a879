#include "cell/files/cache_table.h"

#include <new>
#include <utility>

#include "base/check.h"

namespace hive::cell {
namespace {

using proto::page_bucket_offset;
using proto::page_entry_offset;
using proto::page_hash;

// What tasks know of it (proto/pages.h) is the same.
static_assert(sizeof(CacheTableHead) == sizeof(proto::PageTableHead));
static_assert(offsetof(CacheTableHead, tag) == offsetof(proto::PageTableHead, tag));
static_assert(offsetof(CacheTableHead, buckets) == offsetof(proto::PageTableHead, buckets));
static_assert(offsetof(CacheTableHead, sweep) == offsetof(proto::PageTableHead, sweep));
static_assert(CacheTableHead::type == proto::PageTableHead::type);

}  // namespace

Result<CacheTable> CacheTable::create(TaggedHeap& heap, std::uint32_t frames, CellId self) {
  auto* head = heap.create_sized<CacheTableHead>(cache_table_bytes(frames));
  if (head == nullptr) {
    return fail(Code::exhausted, "the kernel's heap has no room for the table of the page cache");
  }
  head->frames = frames;
  head->buckets = cache_buckets(frames);
  auto* at = reinterpret_cast<std::byte*>(head);
  for (std::uint32_t i = 0; i < head->buckets; ++i) {
    new (at + page_bucket_offset(i)) CacheBucket(no_frame);
  }
  for (std::uint32_t frame = 0; frame < frames; ++frame) {
    new (at + page_entry_offset(head->buckets, frame)) Changing<CacheEntry>;
  }
  return CacheTable(heap, head, self);
}

CacheTable::CacheTable(CacheTable&& other) noexcept
    : heap_(other.heap_), head_(std::exchange(other.head_, nullptr)), self_(other.self_) {}

CacheTable::~CacheTable() {
  if (head_ != nullptr) heap_->destroy_sized(head_, cache_table_bytes(head_->frames));
}

CacheBucket& CacheTable::bucket(FileNumber file, std::uint32_t page) const {
  const std::uint32_t index = page_hash(file, page) & (head_->buckets - 1);
  return *std::launder(reinterpret_cast<CacheBucket*>(reinterpret_cast<std::byte*>(head_) +
                                                      page_bucket_offset(index)));
}

Changing<CacheEntry>& CacheTable::changing(std::uint32_t frame) const {
  HIVE_CHECK(frame < head_->frames);
  return *std::launder(reinterpret_cast<Changing<CacheEntry>*>(
      reinterpret_cast<std::byte*>(head_) + page_entry_offset(head_->buckets, frame)));
}

std::optional<std::uint32_t> CacheTable::find(FileNumber file, std::uint32_t page) const {
  std::uint32_t frame = bucket(file, page).load(std::memory_order_relaxed);
  // A chain that goes on for ever is our own corruption.
  for (std::uint32_t i = 0; frame != no_frame; ++i) {
    HIVE_CHECK(i < head_->frames);
    const CacheEntry& found = entry(frame);
    if (found.file == file && found.page == page) return frame;
    frame = found.next;
  }
  return std::nullopt;
}

void CacheTable::link(std::uint32_t frame, FileNumber file, std::uint32_t page,
                      std::uint64_t sequence) {
  HIVE_CHECK(file != 0 && entry(frame).file == 0);
  CacheBucket& first = bucket(file, page);
  changing(frame).set({file, sequence, page, first.load(std::memory_order_relaxed), no_frame,
                       self_, -1});
  first.store(frame, std::memory_order_release);  // linked last
}

void CacheTable::set_sequence(std::uint32_t frame, std::uint64_t sequence, CellId home,
                              std::uint32_t home_frame) {
  HIVE_CHECK(entry(frame).file != 0);
  changing(frame).update([&](CacheEntry& e) {
    e.sequence = sequence;
    e.memory_home = static_cast<std::int16_t>(home);
    e.frame = home_frame;
  });
}

void CacheTable::unlink(std::uint32_t frame) {
  const CacheEntry gone = entry(frame);
  HIVE_CHECK(gone.file != 0);
  CacheBucket& first = bucket(gone.file, gone.page);
  std::uint32_t before = first.load(std::memory_order_relaxed);
  if (before == frame) {
    first.store(gone.next, std::memory_order_release);
  } else {
    for (std::uint32_t i = 0; entry(before).next != frame; ++i) {
      before = entry(before).next;
      HIVE_CHECK(i < head_->frames && before != no_frame);
    }
    changing(before).update([&](CacheEntry& e) { e.next = gone.next; });
  }
  changing(frame).set({});
}

}  // namespace hive::cell
