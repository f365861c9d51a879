// Which cached pages were read without a call: readers in place mark them, in memory of their own,
// and the clock hand of the cache looks there before it takes a page for cold.
#pragma once

#include <cstdint>

namespace hive::cell {

// Thread-safe; does not block. What it says comes from tasks: it may be wrong, and costs time
// then.
class PageMarks {
 public:
  virtual ~PageMarks() = default;
  // Whether somebody has read the page of this entry of the table in a later sweep than that one.
  virtual bool is_used(std::uint32_t entry, std::uint32_t sweep) const = 0;
};

}  // namespace hive::cell
