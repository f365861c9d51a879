// Whether this process is the one that attached, or a child of it made by fork.
//
// A child has none of its parent's node memory (it is not inherited) and must not use its parent's
// connections. One page that Linux zeroes in a child, however it was made, holds the id of the
// process; looking at it costs a load. A child made by vfork or clone(CLONE_VM) shares all memory
// with its parent and counts as the parent.
#pragma once

#include <cstdint>

#include <hive/error.h>

namespace hive::lib {

// The id under which this process is known here, made on the first call in a process; never 0.
// Errors: exhausted. Not async-signal-safe.
Result<std::uint64_t> this_process();

// The same, or 0 if this process has not asked for it yet (a child, for one). Async-signal-safe.
std::uint64_t known_process() noexcept;

}  // namespace hive::lib
