// The ioctls of userfaultfd, through the call gate, as values. Addresses are in the process that
// the descriptor belongs to. Each returns 0 or an errno.
#pragma once

#include <cstdint>

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "machine/linux/memory_call.h"

// Newer than the kernel headers of Debian 12 (Linux 6.4).
#ifndef UFFDIO_CONTINUE_MODE_WP
#define UFFDIO_CONTINUE_MODE_WP ((__u64)1 << 1)
#endif

namespace hive::machine {

inline int userfault_call(int userfault, unsigned long request, const void* argument) noexcept {
  return static_cast<int>(-memory_call(SYS_ioctl, word_of(userfault), request, word_of(argument)));
}

inline int userfault_register(int userfault, std::uint64_t address, std::uint64_t bytes) noexcept {
  uffdio_register request{};
  request.range = {address, bytes};
  request.mode =
      UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR | UFFDIO_REGISTER_MODE_WP;
  return userfault_call(userfault, UFFDIO_REGISTER, &request);
}

// `on`: no store gets through any more. Otherwise it does.
inline int userfault_protect(int userfault, std::uint64_t address, std::uint64_t bytes,
                             bool on) noexcept {
  uffdio_writeprotect request{};
  request.range = {address, bytes};
  request.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0;
  return userfault_call(userfault, UFFDIO_WRITEPROTECT, &request);
}

// Maps pages that are in the memory but not in the process. `done`: bytes mapped before the end or
// the first page that could not be.
inline int userfault_continue(int userfault, std::uint64_t address, std::uint64_t bytes,
                              bool protect, std::uint64_t& done) noexcept {
  uffdio_continue request{};
  request.range = {address, bytes};
  // Nobody ever sleeps in a fault here: faults raise SIGBUS.
  request.mode = UFFDIO_CONTINUE_MODE_DONTWAKE;
  if (protect) request.mode |= UFFDIO_CONTINUE_MODE_WP;
  const int result = userfault_call(userfault, UFFDIO_CONTINUE, &request);
  done = request.mapped > 0 ? static_cast<std::uint64_t>(request.mapped) : 0;
  return result;
}

}  // namespace hive::machine
