// Lifelines: how the death of a kernel is known within a fraction of a millisecond, whatever the
// size of its memory. A thread that only sleeps holds words of kernel memory on its robust-futex
// list; Linux marks them and wakes one watcher of each when the thread dies, before it takes the
// process's memory down. A mark is a hint; the node's power process being dead is proof.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include <hive/error.h>
#include "machine/node_header.h"

namespace hive::machine {

// Starts the sleeping thread; the words are armed when it returns. Once for each kernel.
Result<void> arm_lifelines(NodeHeader* own);

// Marks all words and wakes the watchers at once. Async-signal-safe: the first thing that a
// handler of a fatal signal does, because a core dump takes seconds.
void mark_lifelines(NodeHeader* own) noexcept;

enum class LifelineState : std::uint8_t { alive, marked, unreadable };

// `remote`: another node's header; `watcher`: whose word (a cell, lifeline_power,
// lifeline_monitor).
LifelineState read_lifeline(const NodeHeader* remote, int watcher) noexcept;

// Sleeps until one of the lifelines may have changed, or the deadline. At most 64 nodes.
void wait_lifelines(std::span<const NodeHeader* const> remotes, int watcher,
                    std::uint64_t deadline_ns) noexcept;

}  // namespace hive::machine
