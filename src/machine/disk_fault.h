// A disk of the host that fails or is full, for tests (`hive fault fail-disk`). The cause is made:
// the calls that would go to the host return its errno instead. What follows from that is real.
//
//   if (const int refused = disk_refuses(DiskUse::write); refused != 0) return failure(refused);
//
// It is of this process, so of all files of a kernel's disk. Any thread.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>

namespace hive::machine {

enum class DiskFault : std::uint8_t {
  none,
  full,  // nothing new finds room
  io,    // nothing can be read, written or synced
};
enum class DiskUse : std::uint8_t { read, write, make, other };

namespace detail {
inline std::atomic<DiskFault> disk_fault{DiskFault::none};
inline std::atomic<std::uint64_t> disk_refusals{0};
}  // namespace detail

inline void set_disk_fault(DiskFault fault) { detail::disk_fault.store(fault); }

// An errno; 0: the host is asked.
inline int disk_refuses(DiskUse use) {
  const DiskFault fault = detail::disk_fault.load(std::memory_order_relaxed);
  if (fault == DiskFault::none) [[likely]] return 0;
  const bool needs_room = use == DiskUse::write || use == DiskUse::make;
  if (fault == DiskFault::full && !needs_room) return 0;
  detail::disk_refusals.fetch_add(1, std::memory_order_relaxed);
  return fault == DiskFault::full ? ENOSPC : EIO;
}

// How often it was refused so.
inline std::uint64_t disk_refusals() { return detail::disk_refusals.load(); }

}  // namespace hive::machine
