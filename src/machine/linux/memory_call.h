// The call gate: the one place from which memory calls on node addresses are made, so that the
// filter of install_memory_call_filter() can tell Hive's own calls from stray ones.
//
// The gate is a page of code at an address that is the same in every process. A filter outlives
// exec, and the address of a routine does not: with a fixed page, a program that was started by a
// filtered one can attach to the machine too.
#pragma once

#include <cstdint>

#include <hive/error.h>
#include "machine/layout.h"

namespace hive::machine {

// Just above the widest machine, and below the lowest position-independent executable.
inline constexpr std::uint64_t memory_gate_address = machine_base + machine_span_max;

// The address that the filter sees: where the system call instruction of memory_call() returns to.
// After open_memory_gate().
std::uint64_t memory_gate_return() noexcept;

// Maps the gate. Doing it twice is fine. Errors: exhausted (something else lies there).
Result<void> open_memory_gate();

// A system call through the gate (or straight, when the gate is not mapped). Returns what Linux
// returned: a negative errno is an error, and errno is left alone. Async-signal-safe.
long memory_call(long number, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
                 std::uint64_t d = 0, std::uint64_t e = 0, std::uint64_t f = 0) noexcept;

inline std::uint64_t word_of(const void* p) noexcept {
  return reinterpret_cast<std::uintptr_t>(p);
}
inline std::uint64_t word_of(int value) noexcept {
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
}

}  // namespace hive::machine
