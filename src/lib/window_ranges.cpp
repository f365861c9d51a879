#include "lib/window_ranges.h"

#include <algorithm>

namespace hive::lib {

using machine::PageRange;

std::vector<PageRange> subtract(PageRange range, const std::vector<PageRange>& others) {
  std::vector<PageRange> sorted;
  for (const PageRange& other : others) {
    if (other.overlaps(range)) sorted.push_back(other);
  }
  std::ranges::sort(sorted, {}, &PageRange::first);
  std::vector<PageRange> left;
  std::uint32_t at = range.first;
  for (const PageRange& other : sorted) {
    if (other.first > at) left.push_back({at, other.first - at});
    at = std::max(at, other.end());
  }
  if (at < range.end()) left.push_back({at, range.end() - at});
  return left;
}

void WindowRanges::announce(PageRange range) {
  const std::scoped_lock lock(mutex_);
  open_.push_back(range);
}

Result<void> WindowRanges::begin(const machine::Fence& fence, PageRange range) {
  if (mode_ == machine::FirewallMode::mmu) return {};
  const std::scoped_lock lock(mutex_);
  return fence.begin_stores(range);
}

Result<void> WindowRanges::end(const machine::Fence& fence, PageRange range) {
  const std::scoped_lock lock(mutex_);
  const auto found = std::ranges::find(open_, range);
  if (found == open_.end()) return {};
  open_.erase(found);
  Result<void> outcome;
  for (const PageRange& part : subtract(range, open_)) {
    if (auto done = fence.end_stores(part); !done) outcome = done;
  }
  return outcome;
}

}  // namespace hive::lib
