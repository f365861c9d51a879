// The one line that a task says before a fault of it on a cell's memory becomes a signal.
#pragma once

#include <cstdint>

#include <hive/error.h>

namespace hive::lib {

class SessionImpl;

struct Fault {
  std::uint64_t address = 0;
  std::uint64_t instruction = 0;
  bool is_store = false;
};

// Prints, for example:
//   hive: task 3000001 (cell 3): store to a closed page of cell 1 at 0x550040203000, segment
//   "grid", instruction 0x5604e2a3: a store without a write window
// on one line of standard error. Async-signal-safe.
void report_fault(SessionImpl& session, const Fault& fault, const Error& why) noexcept;

}  // namespace hive::lib
