#include "cell/member/clock_watch.h"

#include <algorithm>

#include "base/safe_copy.h"
#include "machine/node_header.h"

namespace hive::cell {

ClockWatch::Seen ClockWatch::on_tick(CellSet live, std::uint64_t own_tick_ns) {
  Seen seen;
  const CellId cells = static_cast<CellId>(layout_.cells);
  int watched = 0;
  for (CellId step = 1; step < cells && watched < watched_max; ++step) {
    const CellId cell = (self_ + step) % cells;
    Clock& clock = clocks_[static_cast<std::size_t>(cell)];
    if (!live.has(cell)) {
      clock.stood_ns.store(0, std::memory_order_relaxed);
      continue;
    }
    ++watched;
    const machine::NodeHeader* header = machine::node_header(layout_, cell);
    std::uint64_t value = 0;
    std::uint64_t its_tick_ns = 0;
    std::uint32_t busy = 0;
    // That it can't be read is noticed by those who read its board.
    if (!safe_load64(&header->clock_word, value) || !safe_load64(&header->tick_ns, its_tick_ns) ||
        !safe_load32(&header->busy, busy)) {
      continue;
    }
    seen.is_busy |= busy == 1;
    std::uint64_t stood = 0;
    if (value == clock.value) {
      stood = clock.stood_ns.load(std::memory_order_relaxed) + own_tick_ns;
    }
    clock.value = value;
    clock.stood_ns.store(stood, std::memory_order_relaxed);
    const std::uint64_t tick = std::clamp(its_tick_ns, busy_tick_ns, idle_tick_ns);
    // On a slow host the order to begin comes to one cell long after the other.
    const std::uint64_t patience = value == 0 ? first_tick_max_ns : ticks_late * tick;
    if (stood > patience) seen.late.add(cell);
  }
  return seen;
}

}  // namespace hive::cell
