#include "lib/page_finder.h"

#include <bit>
#include <cstddef>

#include "base/safe_copy.h"

namespace hive::lib {

using proto::PageEntry;
using proto::PageTableHead;
using proto::PublishedEntry;
using proto::PublishedFrame;

static_assert(sizeof(PublishedEntry) <= safe_copy_ordered_max);

namespace {

template <class T>
const T* at(std::uint64_t address) {
  return reinterpret_cast<const T*>(address);
}

bool lies_in(const machine::Layout& layout, CellId cell, std::uint64_t address,
             std::uint64_t bytes) {
  return address % alignof(std::uint64_t) == 0 && address >= layout.kernel_begin(cell) &&
         address <= layout.kernel_end(cell) && bytes <= layout.kernel_end(cell) - address;
}

}  // namespace

PageFinder::PageFinder(const machine::Layout& layout, CellId cell,
                       const proto::PageRoots& roots) noexcept
    : layout_(layout), roots_(roots) {
  const std::uint64_t frames = layout.user_pages();
  const bool is_sound =
      lies_in(layout, cell, roots.table, sizeof(PageTableHead)) && read_head() &&
      lies_in(layout, cell, roots.table, proto::page_entry_offset(buckets_, entries_)) &&
      lies_in(layout, cell, roots.frames, frames * sizeof(PublishedFrame));
  if (!is_sound) roots_ = {};
}

// A table has an entry for each frame of its node, and perhaps as many for borrowed ones.
bool PageFinder::read_head() noexcept {
  PageTableHead head;
  if (!safe_copy(&head, at<void>(roots_.table), sizeof head)) return false;
  entries_ = head.frames;
  buckets_ = head.buckets;
  const std::uint64_t frames = layout_.user_pages();
  return head.tag.type == PageTableHead::type && entries_ >= frames && entries_ <= 2 * frames &&
         std::has_single_bit(buckets_) && buckets_ <= 2 * entries_;
}

std::optional<PageFinder::Found> PageFinder::find(std::uint64_t file,
                                                  std::uint32_t page) const noexcept {
  if (roots_.table == 0 || file == 0) return std::nullopt;
  const std::uint32_t bucket = proto::page_hash(file, page) & (buckets_ - 1);
  std::uint32_t number = 0;
  if (!safe_load32(at<void>(roots_.table + proto::page_bucket_offset(bucket)), number)) {
    return std::nullopt;
  }
  for (std::uint32_t i = 0; i < proto::page_chain_max && number < entries_; ++i) {
    const auto* const published =
        at<PublishedEntry>(roots_.table + proto::page_entry_offset(buckets_, number));
    PublishedEntry copy;
    std::uint32_t change = 0;
    // In the order of the addresses, and then the first word again.
    if (!safe_copy(&copy, published, sizeof copy) || !safe_load32(&published->change, change) ||
        copy.change % 2 != 0 || change != copy.change) {
      return std::nullopt;
    }
    const PageEntry& entry = copy.entry;
    if (entry.file == file && entry.page == page) {
      const bool is_sound = entry.sequence % 2 == 0 && entry.frame < layout_.user_pages() &&
                            entry.memory_home >= 0 &&
                            entry.memory_home < static_cast<int>(layout_.cells);
      return is_sound ? std::optional(Found{entry, number}) : std::nullopt;
    }
    number = entry.next;
  }
  return std::nullopt;
}

std::uint32_t PageFinder::sweep() const noexcept {
  std::uint32_t sweep = 0;
  if (roots_.table == 0) return 0;
  const auto* const head = at<PageTableHead>(roots_.table);
  return safe_load32(&head->sweep, sweep) ? sweep : 0;
}

bool PageFinder::load_sequence(std::uint32_t frame, std::uint64_t& sequence) const noexcept {
  return roots_.frames != 0 &&
         safe_load64(&at<PublishedFrame>(roots_.frames)[frame].sequence, sequence);
}

bool PageFinder::load_frame(std::uint32_t frame, PublishedFrame& about) const noexcept {
  return roots_.frames != 0 &&
         safe_copy(&about, &at<PublishedFrame>(roots_.frames)[frame], sizeof about);
}

}  // namespace hive::lib
