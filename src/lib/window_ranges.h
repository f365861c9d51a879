// Which pages of one node this task may store to, in the modes of the firewall where the mapping
// itself is read-only outside windows. Pages that several shared windows have in common stay
// writable until the last of them is closed.
#pragma once

#include <mutex>
#include <vector>

#include <hive/error.h>
#include "machine/layout.h"
#include "machine/linux/fence.h"

namespace hive::lib {

// Thread-safe. Not async-signal-safe.
class WindowRanges {
 public:
  explicit WindowRanges(machine::FirewallMode mode) : mode_(mode) {}

  // After the home has opened the pages. Errors: host; then nothing is changed.
  Result<void> begin(const machine::Fence& fence, machine::PageRange range);
  // Before the home is told to close them. A range that was not begun is left alone.
  Result<void> end(const machine::Fence& fence, machine::PageRange range);

 private:
  bool needed() const { return mode_ != machine::FirewallMode::mmu; }

  const machine::FirewallMode mode_;
  std::mutex mutex_;  // also held over the calls of the fence, so that they keep their order
  std::vector<machine::PageRange> open_;  // guarded by mutex_; one entry for each open window
};

// The parts of `range` that none of `others` covers, in order.
std::vector<machine::PageRange> subtract(machine::PageRange range,
                                         const std::vector<machine::PageRange>& others);

}  // namespace hive::lib
