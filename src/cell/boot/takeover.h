// A new monitor for a machine whose monitor has died: started by the lowest live cell, and soon
// enough nobody's child.
#pragma once

#include <cstdint>

#include "cell/boot/config.h"

namespace hive::cell {

// When to start one. Control thread.
class Takeover {
 public:
  void monitor_lost(std::uint64_t now_ns);
  // Whether it is time to start a monitor. Each one is given longer than the one before, should
  // they all fail.
  bool is_due(std::uint64_t now_ns);

 private:
  std::uint64_t wait_ns_ = 0;     // 0: none was started yet
  std::uint64_t started_ns_ = 0;  // the last one
  std::uint64_t next_ns_ = 0;
};

// Starts `hive monitor --adopt DIR`, which takes part in the machine's lock, in a session of its
// own. It outlives this kernel. Whether it works shows when it asks to be taken (control.h).
Result<void> start_monitor(const Config& config);

}  // namespace hive::cell
