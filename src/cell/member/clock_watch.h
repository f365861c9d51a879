// Watches the clock words of other cells by our own ticks, and not by time: a host that was
// suspended has stopped all clocks, and so accuses nobody.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/ids.h"
#include "machine/layout.h"

namespace hive::cell {

inline constexpr int ticks_late = 3;  // a hint after so many
inline constexpr std::uint64_t busy_tick_ns = 10'000'000;
inline constexpr std::uint64_t idle_tick_ns = 50'000'000;
// A clock that has not begun yet is of a cell that is still being started, not of one that hangs.
inline constexpr std::uint64_t first_tick_max_ns = 10'000'000'000;

class ClockWatch {
 public:
  ClockWatch(const machine::Layout& layout, CellId self) : layout_(layout), self_(self) {}

  struct Seen {
    CellSet late;           // have stood still for ticks_late of their ticks, or never begun
    bool is_busy = false;   // somebody else has something to do
  };
  // Once for each own tick, by the receive loop: looks at the next cells of the live set after
  // ourselves, `watched_max` of them.
  Seen on_tick(CellSet live, std::uint64_t own_tick_ns);
  // For how long, in our ticks, the cell's clock was seen to stand still. Any thread.
  std::uint64_t stood_ns(CellId cell) const {
    return clocks_[static_cast<std::size_t>(cell)].stood_ns.load(std::memory_order_relaxed);
  }

 private:
  static constexpr int watched_max = 16;
  struct Clock {
    std::uint64_t value = 0;
    std::atomic<std::uint64_t> stood_ns{0};
  };
  const machine::Layout layout_;
  const CellId self_;
  std::array<Clock, max_cells> clocks_;
};

}  // namespace hive::cell
