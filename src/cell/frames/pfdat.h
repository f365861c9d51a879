// What a cell publishes of the frames of its node: a *pfdat* for each, in an array by page number.
//
// Written by the memory home alone. Readers on other cells go by careful reference; what they copy
// from a frame is of one owner when they find the same even sequence number before and after.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cell/heap/tagged_heap.h"

namespace hive::cell {

// What a frame is used for: always exactly one of these.
enum class FrameState : std::uint8_t {
  free,      // zero, and given to nobody
  cleaning,  // on the way to free: somebody may still have it in his page table
  segment,   // owner: the segment
  lock,      // of a mutex or condition; owner: its segment
  cached,    // of a file; owner: its number, and `page`. Odd while it is being filled, or leaves
  anonymous,  // of a task's memory; owner: its view
  lent,       // to another cell, which uses it as cached, with files of its own
  count_
};
inline constexpr std::size_t frame_states = static_cast<std::size_t>(FrameState::count_);
inline constexpr std::array<const char*, frame_states> frame_state_names = {
    "free", "cleaning", "segment", "lock", "cached", "anonymous", "lent"};

struct Pfdat {
  // Odd while what the frame holds is nobody's: it is torn, or on its way to another owner. Only
  // ever goes up.
  std::atomic<std::uint64_t> sequence{0};
  std::atomic<std::uint64_t> owner{0};
  std::atomic<std::uint32_t> page{0};  // of the file, while cached or lent
  std::atomic<FrameState> state{FrameState::free};
  std::atomic<std::int8_t> borrower{-1};   // the cell, while lent
  std::atomic<std::uint16_t> loan_slot{0};  // while lent: the lender's place for this loan
};
// Tasks know its beginning as proto::PublishedFrame (proto/pages.h).
static_assert(sizeof(Pfdat) == 24);
static_assert(offsetof(Pfdat, owner) == 8 && offsetof(Pfdat, page) == 16);

// The head of the array, which follows it in memory.
struct PfdatTable {
  static constexpr std::uint32_t type = type_name("PFDT");
  TypeTag tag;
  std::uint32_t pages = 0;
  std::uint32_t reserved = 0;
  // How many frames are in each state; each consistent by itself.
  std::array<std::atomic<std::uint64_t>, frame_states> counts{};

  Pfdat& at(std::uint32_t page) { return reinterpret_cast<Pfdat*>(this + 1)[page]; }
  const Pfdat& at(std::uint32_t page) const {
    return reinterpret_cast<const Pfdat*>(this + 1)[page];
  }
  static constexpr std::size_t bytes_for(std::uint32_t pages) {
    return sizeof(PfdatTable) + std::size_t{pages} * sizeof(Pfdat);
  }
};

}  // namespace hive::cell
