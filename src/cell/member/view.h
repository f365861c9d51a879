// The view: what a cell knows about the lives of all nodes. For each node a number that only
// grows: 2i - 1 while incarnation i belongs to the live set, 2i once it was seen dead. Views form
// a lattice (merging takes the larger life of each node), which is why cells that learn of the
// same events in different orders end with the same view. Pure values. See docs/agreement.md.
#pragma once

#include <array>
#include <cstdint>

#include "base/ids.h"

namespace hive::cell {

using Life = std::uint32_t;

constexpr bool is_live(Life life) { return life % 2 == 1; }
constexpr std::uint64_t incarnation_of(Life life) { return (std::uint64_t{life} + 1) / 2; }
constexpr Life live_life(std::uint64_t incarnation) {
  return static_cast<Life>(2 * incarnation - 1);
}
constexpr Life dead_life(std::uint64_t incarnation) { return static_cast<Life>(2 * incarnation); }

struct View {
  std::array<Life, max_cells> lives{};  // of the nodes; zero beyond the last

  Life& operator[](CellId cell) { return lives[static_cast<std::size_t>(cell)]; }
  Life operator[](CellId cell) const { return lives[static_cast<std::size_t>(cell)]; }
  bool operator==(const View&) const = default;

  // All nodes in their first incarnation.
  static View first(int cells) {
    View view;
    for (CellId cell = 0; cell < cells; ++cell) view[cell] = live_life(1);
    return view;
  }
  CellSet live() const {
    CellSet set;
    for (CellId cell = 0; cell < max_cells; ++cell) {
      if (is_live((*this)[cell])) set.add(cell);
    }
    return set;
  }
  // Of a machine with so many nodes: 1 when all live for the first time, more with every event.
  std::uint64_t epoch(int cells) const {
    std::uint64_t sum = 0;
    for (const Life life : lives) sum += life;
    return sum - static_cast<std::uint64_t>(cells) + 1;
  }
  // Whether this view knows all that the other does.
  bool contains(const View& other) const {
    for (CellId cell = 0; cell < max_cells; ++cell) {
      if ((*this)[cell] < other[cell]) return false;
    }
    return true;
  }
};

}  // namespace hive::cell
