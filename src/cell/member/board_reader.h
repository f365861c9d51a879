// Reads the boards of other cells out of their kernel memory, by careful reference.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/ids.h"
#include "cell/careful/careful.h"
#include "cell/member/board.h"
#include "machine/layout.h"
#include "machine/sabotage.h"

namespace hive::cell {

class BoardReader {
 public:
  enum class Outcome : std::uint8_t { same, read, busy, corrupt, bus_error };

  explicit BoardReader(const machine::Layout& layout, const machine::Sabotage& sabotage = {})
      : layout_(layout), sabotage_(sabotage) {}

  // The cell has been attached to anew: its board lies somewhere else.
  void forget(CellId cell) { places_[static_cast<std::size_t>(cell)] = {}; }

  // Copies the board of the cell to `out` if it has changed since it was read last.
  Outcome read(CellId cell, Board& out);
  // The member word as it was when the board was read last, for those who sleep on it.
  std::uint32_t word(CellId cell) const { return places_[static_cast<std::size_t>(cell)].word; }

  // What its reads of the cell's data came to. Any thread.
  const CarefulCounters& counters(CellId cell) const {
    return counters_[static_cast<std::size_t>(cell)];
  }

 private:
  CarefulReader reader_of(CellId cell) {
    return {layout_, cell, &counters_[static_cast<std::size_t>(cell)], sabotage_};
  }
  struct Place {
    std::uint64_t board = 0;  // address of its Changing<Board>; 0: not found yet
    std::uint32_t word = 0;
    bool was_read = false;
  };
  Outcome find(CellId cell, Place& place);

  const machine::Layout layout_;
  std::array<CarefulCounters, max_cells> counters_{};
  const machine::Sabotage sabotage_;
  std::array<Place, max_cells> places_{};
};

}  // namespace hive::cell
