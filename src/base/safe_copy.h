// Copying from memory that may not be there: the copy routine with an exception table that careful
// reference is made of. A fault inside returns false instead of raising a signal, provided that
// the process has a handler for SIGSEGV and SIGBUS that calls safe_copy_fixup() first.
//
// The routines use no stack and no setjmp; a successful copy costs what the memory costs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hive {

// Copies n bytes; false if the source (or destination) faulted; then the destination is undefined.
// Up to safe_copy_ordered_max bytes are loaded in the order of their addresses, 16 at a time. One
// aligned word of 4 or 8 bytes is loaded as a whole.
inline constexpr std::size_t safe_copy_ordered_max = 256;
bool safe_copy(void* destination, const void* source, std::size_t n) noexcept;

// Loads one aligned word with acquire order. False on a fault.
bool safe_load32(const void* source, std::uint32_t& value) noexcept;
bool safe_load64(const void* source, std::uint64_t& value) noexcept;

// Stores one byte; false on a fault. For tests of the firewall and for injected wild stores.
bool safe_store8(void* destination, std::uint8_t value) noexcept;

// Exchanges one aligned word for `desired` if it is `expected`, with sequential consistency; after
// that `expected` is what the word was. False on a fault.
bool safe_compare_exchange32(void* word, std::uint32_t& expected, std::uint32_t desired) noexcept;

// To be called by a fault handler with its ucontext. True: the fault was inside one of the
// routines above; the context now resumes at their error exit, and the handler must return.
bool safe_copy_fixup(void* ucontext) noexcept;

// Installs a SIGSEGV and SIGBUS handler that does only the fixup and otherwise restores the
// default action. For kernels before they have their own, and for tests.
void install_safe_copy_handler();

}  // namespace hive
