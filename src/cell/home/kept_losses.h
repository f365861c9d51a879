// What tasks had here that ended a moment ago: the tasks of a dead cell are often seen to end
// before the cell is.
#pragma once

#include <cstdint>
#include <deque>

#include "cell/home/types.h"

namespace hive::cell {

// Not thread-safe.
class KeptLosses {
 public:
  void keep(CellId cell, std::uint64_t now_ns, const HomeLoss& loss) {
    if (kept_.size() >= losses_kept_max) kept_.pop_front();
    kept_.push_back({cell, now_ns, loss});
  }
  // What is not too old of that cell's tasks; it is told once.
  HomeLoss take(CellId cell, std::uint64_t now_ns) {
    HomeLoss loss;
    std::erase_if(kept_, [&](const Kept& kept) {
      const bool is_old = now_ns > kept.ended_ns + loss_kept_ns;
      if (!is_old && kept.cell == cell) loss.add(kept.loss);
      return is_old || kept.cell == cell;
    });
    return loss;
  }

 private:
  struct Kept {
    CellId cell = -1;
    std::uint64_t ended_ns = 0;
    HomeLoss loss;
  };
  std::deque<Kept> kept_;
};

}  // namespace hive::cell
