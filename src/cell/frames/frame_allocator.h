// Contiguous ranges of a node's user pages: first fit, by the page. Knows which are free, nothing
// of what they held. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "machine/layout.h"

namespace hive::cell {

class FrameAllocator {
 public:
  explicit FrameAllocator(std::uint32_t pages);
  // None: no run of that length is free.
  std::optional<machine::PageRange> allocate(std::uint32_t pages);
  // At most `pages` from the end of memory, so that what comes in single pages leaves long runs at
  // the beginning; none of `avoid`. None: nothing else is free.
  // `whole`: not fewer.
  std::optional<machine::PageRange> allocate_last(std::uint32_t pages, machine::PageRange avoid,
                                                  bool whole = false);
  // A range that was allocated, or a part of one.
  void free(machine::PageRange range);
  std::uint32_t free_pages() const { return free_pages_; }
  // visit(PageRange) for each free run, in order.
  template <class Visit>
  void visit(Visit visit) const {
    for (const auto& [first, length] : free_) visit(machine::PageRange{first, length});
  }

 private:
  std::map<std::uint32_t, std::uint32_t> free_;  // first page -> length; never adjacent
  std::uint32_t free_pages_;
};

}  // namespace hive::cell
