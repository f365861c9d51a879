// Which pages of one node this task may store to, and how it gives them up: it closes them itself,
// and then tells the home, which closes them as well and takes nobody's word for it. That is for
// speed. To close pages of a process that runs at that moment, Linux interrupts its processor (10
// to 20 us on a virtual machine); pages that are closed already cost no interrupt. In the modes of
// the firewall where the mapping is read-only outside windows, it is made writable and read-only
// here, too. Pages that several shared windows have in common stay open until the last of them is
// closed.
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

  // Before the home is asked to open the pages: from here on the end of another window leaves them
  // alone. To be followed by end(), also when the home refuses.
  void announce(machine::PageRange range);
  // After the home has opened the pages. Errors: host; then end() comes next.
  Result<void> begin(const machine::Fence& fence, machine::PageRange range);
  // Before the home is told to close them. A range that was not announced is left alone.
  Result<void> end(const machine::Fence& fence, machine::PageRange range);

 private:
  const machine::FirewallMode mode_;
  std::mutex mutex_;  // also held over the calls of the fence, so that they keep their order
  std::vector<machine::PageRange> open_;  // guarded by mutex_; one entry for each open window
};

// The parts of `range` that none of `others` covers, in order.
std::vector<machine::PageRange> subtract(machine::PageRange range,
                                         const std::vector<machine::PageRange>& others);

}  // namespace hive::lib
