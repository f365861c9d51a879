#include "cell/frames/frame_allocator.h"

#include <algorithm>
#include <iterator>

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

std::optional<PageRange> FrameAllocator::allocate_last(std::uint32_t pages, PageRange avoid,
                                                        bool whole) {
  if (pages == 0) return std::nullopt;
  for (auto run = free_.rbegin(); run != free_.rend(); ++run) {
    std::uint32_t first = run->first;
    const std::uint32_t run_end = run->first + run->second;
    std::uint32_t end = run_end;
    if (avoid.count > 0 && avoid.overlaps({first, end - first})) {
      if (avoid.end() < end) {
        first = avoid.end();
      } else if (first < avoid.first) {
        end = avoid.first;
      } else {
        continue;
      }
    }
    if (whole && end - first < pages) continue;
    const std::uint32_t count = std::min(pages, end - first);
    const PageRange taken{end - count, count};
    const std::uint32_t run_first = run->first;
    free_.erase(run_first);
    if (taken.first > run_first) free_.emplace(run_first, taken.first - run_first);
    if (run_end > taken.end()) free_.emplace(taken.end(), run_end - taken.end());
    free_pages_ -= count;
    return taken;
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
