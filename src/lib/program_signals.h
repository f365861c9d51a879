// Whose are SIGSEGV and SIGBUS? Hive needs both for its own addresses, and the program may want
// both for its own. So while Hive's handler is installed, Linux knows only that one, and what the
// program sets with sigaction() or signal(), before or after, is kept here and gets every fault
// that is not Hive's. The program sees its own settings when it asks for them.
//
// This works because libhive defines sigaction() and signal() for the whole program, like a
// sanitizer does. A handler that is put over ours by other means (a raw system call, a library
// that was loaded with a private copy) has to pass on what is not its own, as is the custom.
#pragma once

#include <csignal>

namespace hive::lib {

using FaultHandler = void (*)(int signal, siginfo_t* info, void* ucontext);

// Puts `handler` over the program's actions for SIGSEGV and SIGBUS. Doing it twice is fine. It
// runs on the alternate stack if the thread has one, with no signal blocked: a fault inside it (a
// careful read) is handled by itself.
void install_over_program(FaultHandler handler) noexcept;

// Puts the program's actions back, unless somebody has covered our handler by other means; then it
// stays, and passes everything on.
void give_back_to_program() noexcept;

// To be called by our handler: does what the program's action says about this signal. Returns when
// the program's handler does, or, when the default action is to end the process, so that the fault
// is raised again and ends it. `comes_again`: false for a signal that is another than the
// processor's, which ends the process here. Async-signal-safe.
void pass_to_program(int signal, siginfo_t* info, void* ucontext,
                     bool comes_again = true) noexcept;

// Ends the process by the default action of the signal. Async-signal-safe.
[[noreturn]] void die_of(int signal) noexcept;

// In a child of fork(), before anything else here: no other thread of the parent holds anything.
void program_signals_after_fork() noexcept;

}  // namespace hive::lib
