// How much memory this process may still take, so that a boot is refused with an error rather than
// ended by Linux's OOM killer.
#pragma once

#include <cstdint>

#include <hive/error.h>

namespace hive::machine {

// Bytes that can be taken before the host, or the tightest control group around this process, has
// none left; pages that Linux would give up count as free. A figure that cannot be read sets no
// limit. Reads files of /proc and /sys.
std::uint64_t memory_available();

// Memory for a memfd up to `bytes` from `offset`, allocated bit by bit with a look at what is
// left. Errors: exhausted.
Result<void> populate_memory(int memfd, std::uint64_t offset, std::uint64_t bytes);

}  // namespace hive::machine
