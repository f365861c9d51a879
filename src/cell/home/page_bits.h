// A bit for each page of a node, and the runs in which they are set or clear. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "machine/layout.h"

namespace hive::cell {

class PageBits {
 public:
  explicit PageBits(std::uint32_t pages) : words_((pages + 63) / 64) {}

  bool test(std::uint32_t page) const { return (words_[page / 64] >> (page % 64)) & 1; }
  // Sets or clears the range; returns how many bits changed.
  std::uint32_t assign(machine::PageRange range, bool value);
  std::uint32_t count(machine::PageRange range) const;
  bool any(machine::PageRange range) const { return first_run(range, true).has_value(); }

  // The first run of pages in the range whose bit is `value`.
  std::optional<machine::PageRange> first_run(machine::PageRange range, bool value) const;
  // All of them, in order.
  std::vector<machine::PageRange> runs(machine::PageRange range, bool value) const;

 private:
  // The first page in [from, end) whose bit is `value`, or end.
  std::uint32_t find(std::uint32_t from, std::uint32_t end, bool value) const;
  std::uint64_t mask_of(std::uint32_t word, machine::PageRange range) const;

  std::vector<std::uint64_t> words_;
};

}  // namespace hive::cell
