// What runs of the simulator have reached, over many schedules.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace hive::test {

// A set of well-mixed 64-bit numbers: one word for each, so that tens of millions fit.
class HashedSet {
 public:
  // Whether it was new.
  bool insert(std::uint64_t value) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    if (!put(slots_, value)) return false;
    ++size_;
    return true;
  }
  std::size_t size() const { return size_; }

 private:
  static bool put(std::vector<std::uint64_t>& slots, std::uint64_t value) {
    if (value == 0) value = 1;  // 0 is a slot that is free
    const std::size_t mask = slots.size() - 1;
    std::size_t at = (value ^ value >> 32) & mask;
    for (; slots[at] != 0; at = (at + 1) & mask) {
      if (slots[at] == value) return false;
    }
    slots[at] = value;
    return true;
  }
  void grow() {
    std::vector<std::uint64_t> larger(slots_.empty() ? 1024 : 2 * slots_.size());
    for (const std::uint64_t value : slots_) {
      if (value != 0) put(larger, value);
    }
    slots_ = std::move(larger);
  }

  std::vector<std::uint64_t> slots_;
  std::size_t size_ = 0;
};

struct Coverage {
  HashedSet states;       // of the protocol on all cells
  HashedSet transitions;  // from one such state to the next
  std::uint64_t schedules = 0;
  std::uint64_t lives = 0;            // of cells
  std::uint64_t recoveries = 0;       // settled by a cell
  std::uint64_t double_failures = 0;  // schedules with two or more failures inside a recovery
  std::uint64_t voted_down = 0;       // ballots, as counted by each cell
  std::uint64_t contested = 0;        // ballots that the accused decided
  std::uint64_t joins = 0;
};

}  // namespace hive::test
