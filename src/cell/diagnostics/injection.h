// Faults that a kernel does to itself when told to, for tests and campaigns: real ones.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include <hive/error.h>
#include "machine/linux/firewall.h"

namespace hive::cell {

class Injection {
 public:
  explicit Injection(machine::NodeMemory& memory) : memory_(memory) {}

  // kind: "hang-cell" (how: "loop" or "deadlock"), "fail-memory", "wild-store" (address).
  // The fault comes a moment later, so that the answer still gets out. Errors: bad_argument.
  Result<void> inject(const std::string& kind, const std::string& how, std::uint64_t address);

  // Called by the receive loop on every turn: where it hangs when it has been told to.
  void hang_point();

 private:
  enum class Hang : std::uint8_t { none, loop, deadlock };
  machine::NodeMemory& memory_;
  std::atomic<Hang> hang_{Hang::none};
};

}  // namespace hive::cell
