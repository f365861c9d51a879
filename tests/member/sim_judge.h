// What must never be true of a machine of cells, whatever fails when: looked at from outside,
// where everything can be seen at once. The judge knows what really happened (who is dead, who can
// still reach which pages), not what the cells believe.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "base/ids.h"
#include "cell/member/view.h"
#include "sim_coverage.h"

namespace hive::test {

class Judge {
 public:
  explicit Judge(int cells) : cells_(cells) {}

  void on_born(CellId cell, std::uint64_t incarnation);
  // Taken in: it has nothing of those who are dead in this view.
  void on_joined(CellId cell, const cell::View& view);
  // What it publishes is wrong from here on: a cell that shows `closed` and is not harms itself.
  void on_corrupt(CellId cell) { of(cell).is_corrupt = true; }
  void on_dead(CellId cell, const char* why, bool deserved);
  // Cell `by` has taken back all that the dead of the view could reach; it frees; it goes on.
  void on_closed(CellId by, const cell::View& view);
  void on_discard(CellId by, const cell::View& view);
  void on_discarded(CellId by, const cell::View& view);
  void on_settled(CellId by, const cell::View& view, std::uint64_t epoch);
  // At the end, long after the last fault: the cells must agree on who lives.
  void on_end(CellId cell, bool is_settled, const cell::View& view, CellSet really_live);
  void violated(const std::string& what);

  bool is_clean() const { return violation_.empty(); }
  const std::string& violation() const { return violation_; }

 private:
  struct Cell {
    std::uint64_t incarnation = 0;
    bool is_alive = false;
    bool is_corrupt = false;
    cell::View closed{};
    cell::View discarded{};
    std::uint64_t epoch = 0;
  };
  Cell& of(CellId cell) { return state_[static_cast<std::size_t>(cell)]; }
  bool lives_in(CellId cell, const cell::View& view);

  const int cells_;
  std::array<Cell, max_cells> state_{};
  std::map<std::uint64_t, cell::View> epochs_;
  std::string violation_;
};

}  // namespace hive::test
