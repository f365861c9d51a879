// What a process does between fork and exec so that it starts clean. Async-signal-safe: no memory
// is allocated and no lock taken.
#pragma once

#include <span>

namespace hive::machine {

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
