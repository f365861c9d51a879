// What a process does to itself so that it starts clean, some of it between fork and exec.
// Async-signal-safe: no memory is allocated and no lock taken.
#pragma once

#include <span>

namespace hive::machine {

// Asks Linux to give this thread, and those that it starts, a processor soon when they wake, for
// short turns: a kernel does little at a time, and others wait for it. Without privileges; where
// Linux knows no such wish (before 6.12) nothing changes.
void ask_for_short_slices() noexcept;

// Default action for every signal, and none blocked.
void reset_signals() noexcept;

struct FdMove {
  int from;  // -1: `to` stays closed
  int to;
};

// Makes each descriptor available under its new number, not close-on-exec, and closes all others.
// At most 16. False with errno set if Linux refuses.
bool place_descriptors(std::span<const FdMove> moves) noexcept;

}  // namespace hive::machine
