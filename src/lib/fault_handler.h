// What happens on SIGSEGV and SIGBUS in a task: a page of a node that is not there yet is asked
// for, a store to a closed page ends in a message, everything else is the program's.
#pragma once

#include <csignal>

namespace hive::lib {

// A thread that faults more often than this at one instruction and address, in one go, gets
// nowhere.
inline constexpr int fault_repeats_max = 64;

// The handler of both signals. Async-signal-safe; keeps errno; needs about 3 KiB of stack beside
// the two signal frames that it may take.
void handle_fault(int signal, siginfo_t* info, void* ucontext) noexcept;

}  // namespace hive::lib
