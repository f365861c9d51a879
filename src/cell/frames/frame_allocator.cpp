#include "cell/frames/frame_allocator.h"

#include "base/check.h"

namespace hive::cell {

using machine::PageRange;

FrameAllocator::FrameAllocator(std::uint32_t pages) : free_pages_(pages) {
  if (pages > 0) free_.emplace(0, pages);
}

std::optional<PageRange> FrameAllocator::allocate(std::uint32_t pages) {
  if (pages == 0) return std::nullopt;
  for (auto run = free_.begin(); run != free_.end(); ++run) {
    const auto [first, length] = *run;
    if (length < pages) continue;
    free_.erase(run);
    if (length > pages) free_.emplace(first + pages, length - pages);
    free_pages_ -= pages;
    return PageRange{first, pages};
  }
  return std::nullopt;
}

void FrameAllocator::free(PageRange range) {
  if (range.count == 0) return;
  free_pages_ += range.count;
  auto after = free_.lower_bound(range.first);
  HIVE_CHECK(after == free_.end() || after->first >= range.end());  // nothing is freed twice
  if (after != free_.end() && after->first == range.end()) {
    range.count += after->second;
    after = free_.erase(after);
  }
  if (after != free_.begin()) {
    const auto before = std::prev(after);
    const std::uint32_t end = before->first + before->second;
    HIVE_CHECK(end <= range.first);
    if (end == range.first) {
      before->second += range.count;
      return;
    }
  }
  free_.emplace(range.first, range.count);
}

}  // namespace hive::cell
