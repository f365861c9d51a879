// Which loans of frames a memory home has given. Not thread-safe: guarded by the home's mutex.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "cell/frames/loans.h"

namespace hive::cell {

class LoanBook {
 public:
  struct Entry {
    std::uint64_t number = 0;
    Borrower to;
    std::vector<machine::PageRange> runs;  // as it was given
    std::uint64_t frames = 0;              // that are still lent
    bool busy = false;      // a thread works on page tables of its frames
    bool ended = false;     // the borrower may ask nothing of it any more
    bool returns = false;   // ended, and its frames may serve others
  };

  // False: a later question of this borrower was here before.
  bool take_turn(const Borrower& by, std::uint32_t ask) {
    Turn& turn = turns_[static_cast<std::size_t>(by.cell)];
    if (turn.incarnation == by.incarnation && ask <= turn.ask) return false;
    turn = {by.incarnation, ask};
    return true;
  }

  // The place of a new loan. None: the borrower, or the home, has too many.
  std::optional<std::uint16_t> begin(const Borrower& to) {
    std::size_t has = 0;
    for (const auto& [slot, entry] : entries_) has += entry.to.cell == to.cell ? 1 : 0;
    if (has >= loans_per_borrower_max) return std::nullopt;
    std::uint16_t slot = 1;
    while (entries_.contains(slot)) ++slot;
    Entry& entry = entries_[slot];
    entry.number = ++last_number_;
    entry.to = to;
    return slot;
  }
  // Null: there is none.
  Entry* at(std::uint16_t slot) {
    const auto found = entries_.find(slot);
    return found == entries_.end() ? nullptr : &found->second;
  }
  // The loan of this number that the borrower may ask about.
  std::optional<std::uint16_t> find(const Borrower& by, std::uint64_t number) const {
    for (const auto& [slot, entry] : entries_) {
      const bool is_his = entry.to.cell == by.cell && entry.to.incarnation == by.incarnation;
      if (is_his && entry.number == number && !entry.ended) return slot;
    }
    return std::nullopt;
  }
  void erase(std::uint16_t slot) { entries_.erase(slot); }
  // In the order of their places, with changes allowed to the entries.
  std::map<std::uint16_t, Entry>& entries() { return entries_; }
  const std::map<std::uint16_t, Entry>& entries() const { return entries_; }

 private:
  struct Turn {
    std::uint64_t incarnation = 0;
    std::uint32_t ask = 0;
  };
  std::map<std::uint16_t, Entry> entries_;
  std::array<Turn, max_cells> turns_{};
  std::uint64_t last_number_ = 0;
};

}  // namespace hive::cell
