// Small steps of mapping node memory, all through the call gate. Each returns what Linux returned:
// a negative errno is an error.
#pragma once

#include <cstdint>

#include <sys/mman.h>
#include <sys/syscall.h>

#include "machine/linux/memory_call.h"

namespace hive::machine {

// Whether this process has reserve_machine_range() behind it.
bool machine_range_is_reserved(const Layout& layout);

inline long map_fixed(std::uint64_t address, std::uint64_t bytes, int protection, int flags,
                      int fd) noexcept {
  return memory_call(SYS_mmap, address, bytes, word_of(protection), word_of(flags), word_of(fd),
                     0);
}

inline long advise(std::uint64_t address, std::uint64_t bytes, int advice) noexcept {
  return memory_call(SYS_madvise, address, bytes, word_of(advice));
}

inline long protect(std::uint64_t address, std::uint64_t bytes, int protection) noexcept {
  return memory_call(SYS_mprotect, address, bytes, word_of(protection));
}

// A child would see the memory without its fence, and a core dump would hold all the machine.
inline long keep_to_this_process(std::uint64_t address, std::uint64_t bytes) noexcept {
  const long refused = advise(address, bytes, MADV_DONTFORK);
  return refused < 0 ? refused : advise(address, bytes, MADV_DONTDUMP);
}

// Takes addresses and nothing else; `fixed` is MAP_FIXED or MAP_FIXED_NOREPLACE. A fork does not
// copy it: whoever is forked off has no view of the machine until it makes one.
inline long take_addresses(std::uint64_t address, std::uint64_t bytes, int fixed) noexcept {
  const long got = map_fixed(address, bytes, PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1);
  if (got >= 0) advise(address, bytes, MADV_DONTFORK);
  return got;
}

}  // namespace hive::machine
