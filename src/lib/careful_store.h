// Stores into an open window that report a page that is gone instead of raising a signal, and the
// order of such stores and of careful reads as others see it.
//
// x86-64 keeps stores in order, loads in order, and a store of an aligned word whole; the calls
// into the copy routine keep the compiler from moving anything. Only the loads inside a long copy
// (a string instruction) may come in any order and late: order_after_long_copy() ends that.
// ThreadSanitizer does not see the routine, and the language's rule about data races ends at it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/safe_copy.h"
#include "machine/layout.h"

namespace hive::lib {

inline bool store_word(std::byte* at, std::uint64_t word) noexcept {
  return safe_copy(at, &word, sizeof word);
}
inline bool store_bytes(std::byte* at, const void* source, std::uint64_t length) noexcept {
  return safe_copy(at, source, length);
}

inline void order_after_long_copy() noexcept { __builtin_ia32_lfence(); }

// Before a store is tried again: the fault may have been one of the source, which may lie in a
// segment, too. Plain loads, so that its pages are brought in, or it is a bus error of the
// program's, as with any other copy.
inline void load_source(const void* source, std::uint64_t length) noexcept {
  const auto* const bytes = static_cast<const volatile std::byte*>(source);
  for (std::uint64_t at = 0; at < length; at += machine::page_bytes) (void)bytes[at];
  if (length > 0) (void)bytes[length - 1];
}

// The same for a copy whose destination may have faulted. What is there is to be overwritten
// anyway.
inline void store_to(std::span<std::byte> out) noexcept {
  auto* const bytes = const_cast<volatile std::byte*>(out.data());
  for (std::size_t at = 0; at < out.size(); at += machine::page_bytes) bytes[at] = std::byte{0};
  if (!out.empty()) bytes[out.size() - 1] = std::byte{0};
}

// How often a store may find its page missing, and have it brought in, before it is given up.
inline constexpr int store_tries_max = 64;

}  // namespace hive::lib
