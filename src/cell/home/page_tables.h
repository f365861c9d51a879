// The seam between a home and the firewall: what the home asks of the page tables of its clients
// and of its own frames. fenced.h makes it of the machine's firewall, tests of plain arrays.
//
// Calls on a ClientSpace may block for tens of milliseconds (on the mmap lock of that process), so
// a home never makes them with its lock held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <hive/error.h>
#include "machine/layout.h"

namespace hive::cell {

// One client's view of this node's user memory. The home never has two calls under way on
// overlapping pages of the same space, except for forget().
class ClientSpace {
 public:
  virtual ~ClientSpace() = default;
  // Makes pages readable; those without memory behind them are skipped. Returns how many are
  // there. Errors: not_found (the process is gone), host.
  virtual Result<std::uint32_t> give(machine::PageRange range) = 0;
  // Lets stores through. Errors: not_found (the process is gone), lost (no memory behind one),
  // host.
  virtual Result<void> open(machine::PageRange range) = 0;
  // No store gets through after it returns. Errors: not_found (the process is gone), host.
  virtual Result<void> close(machine::PageRange range) = 0;
  // The same for pages at addresses of the client's views, which it has shown there: see
  // machine::FencedSpace. Errors also: bad_argument (no views are there).
  virtual Result<std::uint32_t> give_at(std::uint64_t address, std::uint32_t count) = 0;
  virtual Result<void> open_at(std::uint64_t address, std::uint32_t count) = 0;
  virtual Result<void> close_at(std::uint64_t address, std::uint32_t count) = 0;
  // The pages may not be there any more. Any thread, at any time; does not block.
  virtual void forget(machine::PageRange range) = 0;
};

// The frames of this node.
class FrameMemory {
 public:
  virtual ~FrameMemory() = default;
  // Takes the pages from every process at once, and with them what they held. Errors: host.
  virtual Result<void> take_back(machine::PageRange range) = 0;
  // Gives pages that were taken back new memory, all zero. Errors: exhausted.
  virtual Result<void> refill(machine::PageRange range) = 0;
  // Copy out of and into frames past the firewall, at an offset from the beginning of user memory.
  // What was taken back reads as zero, and a write gives it memory. Errors: lost, host.
  virtual Result<void> read(std::uint64_t offset, std::span<std::byte> out) = 0;
  virtual Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
};

}  // namespace hive::cell
