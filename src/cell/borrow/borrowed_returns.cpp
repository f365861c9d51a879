// How borrowed frames go: given back, asked for, or lost.

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "cell/borrow/borrowed_frames.h"

namespace hive::cell {

using machine::PageRange;

namespace {

constexpr std::uint32_t give_up_run_max = 64;  // frames, before the lender gets some of them

}  // namespace

BorrowedFrames::Taken BorrowedFrames::taken_locked(std::span<const std::uint32_t> slots) const {
  Taken taken;
  for (const std::uint32_t number : slots) {
    const Slot& slot = slots_[number];
    if (slot.state != SlotState::taken) continue;
    (slot.away ? taken.away : taken.cache).push_back(parts_.node_frames + number);
  }
  return taken;
}

void BorrowedFrames::tell_lost(const Taken& taken) {
  const auto tell = [this](std::span<const std::uint32_t> frames, bool away) {
    if (frames.empty()) return;
    with_reclaimer([frames](FrameReclaimer& holder) { holder.lose(frames); }, away);
  };
  tell(taken.cache, false);
  tell(taken.away, true);
}

// --- giving back --------------------------------------------------------------------------------

void BorrowedFrames::free_slot_locked(std::uint32_t number) {
  Slot& slot = slots_[number];
  Lender& from = lender(slot.cell);
  if (const auto at = by_place_.find(key_of(slot.cell, slot.frame));
      at != by_place_.end() && at->second == number) {
    by_place_.erase(at);
  }
  const auto loan = std::ranges::find(from.loans, slot.loan, &OpenLoan::number);
  if (loan != from.loans.end() && --loan->slots == 0) from.loans.erase(loan);
  --from.slots;
  --counts_.borrowed;
  slot = {};
  empty_.push_back(number);
}

// Whatever they are used for. Those that the cache has stay until it gives them back.
void BorrowedFrames::lose_slots_locked(std::span<const std::uint32_t> slots) {
  for (const std::uint32_t number : slots) {
    Slot& slot = slots_[number];
    if (slot.lost) continue;
    slot.lost = true;
    by_place_.erase(key_of(slot.cell, slot.frame));
    if (slot.state == SlotState::taken) ++counts_.lost;
    if (slot.state == SlotState::sending || slot.state == SlotState::taken) continue;
    std::erase(slot.state == SlotState::spare ? spare_ : returning_, number);
    free_slot_locked(number);
  }
}

void BorrowedFrames::give_back_frames(std::span<const std::uint32_t> frames) {
  std::vector<std::uint32_t> own;
  bool some_return = false;
  {
    const Lock lock(mutex_);
    for (const std::uint32_t frame : frames) {
      if (!is_slot(frame)) {
        own.push_back(frame);
        continue;
      }
      const std::uint32_t number = frame - parts_.node_frames;
      Slot& slot = slots_[number];
      HIVE_CHECK(slot.state == SlotState::taken);
      if (std::exchange(slot.away, false)) --away_;
      if (slot.lost || stopped_) {
        free_slot_locked(number);
        continue;
      }
      slot.state = SlotState::returning;
      returning_.push_back(number);
      some_return = true;
    }
  }
  if (!own.empty()) parts_.own->give_back_frames(own);
  if (some_return) post([this] { return_slots(); });
}

void BorrowedFrames::return_spare() {
  {
    const Lock lock(mutex_);
    for (const std::uint32_t number : spare_) {
      slots_[number].state = SlotState::returning;
      returning_.push_back(number);
    }
    spare_.clear();
  }
  return_slots();
}

void BorrowedFrames::return_slots() {
  std::set<CellId> silent;  // that did not answer: the next tick tries again
  Lock lock(mutex_);
  while (!stopped_) {
    const auto next = std::ranges::find_if(returning_, [&](std::uint32_t number) {
      return !silent.contains(slots_[number].cell);
    });
    if (next == returning_.end()) return;
    (void)send_back(lock, *next, silent);
  }
}

// One message, with what is returning of the same loan.
bool BorrowedFrames::send_back(Lock& lock, std::uint32_t first, std::set<CellId>& silent) {
  const CellId cell = slots_[first].cell;
  const std::uint64_t loan = slots_[first].loan;
  std::vector<std::uint32_t> same;
  std::ranges::copy_if(returning_, std::back_inserter(same), [&](std::uint32_t number) {
    return slots_[number].cell == cell && slots_[number].loan == loan;
  });
  std::ranges::sort(same, {}, [&](std::uint32_t number) { return slots_[number].frame; });
  std::vector<PageRange> runs;
  std::vector<std::uint32_t> sent;
  for (const std::uint32_t number : same) {
    const std::uint32_t frame = slots_[number].frame;
    if (runs.empty() || runs.back().end() != frame) {
      if (runs.size() == loan_runs_max) break;
      runs.push_back({frame, 0});
    }
    ++runs.back().count;
    sent.push_back(number);
    slots_[number].state = SlotState::sending;
  }
  std::erase_if(returning_, [&](std::uint32_t number) {
    return slots_[number].state == SlotState::sending;
  });
  lock.unlock();
  const auto done = parts_.lenders->give_back(cell, loan, runs);
  lock.lock();
  const Code why = done ? Code::exists : done.error().code;
  const bool is_over = done || why == Code::not_found || why == Code::cell_down;
  for (const std::uint32_t number : sent) {
    if (is_over || slots_[number].lost) {
      free_slot_locked(number);
    } else {
      slots_[number].state = SlotState::returning;
      returning_.push_back(number);
    }
  }
  if (!is_over) silent.insert(cell);
  return is_over;
}

// --- news ---------------------------------------------------------------------------------------

void BorrowedFrames::on_recall(CellId cell, PageRange range) {
  if (cell < 0 || cell >= max_cells) return;
  {
    const Lock lock(mutex_);
    if (stopped_ || lender(cell).slots == 0) return;
    lender(cell).not_before_ns = now_ns() + parts_.pause_ns;
  }
  post([this, cell, range] { give_up(cell, range); });
}

void BorrowedFrames::give_up(CellId cell, PageRange range) {
  struct Run {
    PageRange frames;  // as those count them who have them
    bool away = false;
  };
  std::vector<Run> taken;
  {
    const Lock lock(mutex_);
    for (std::uint32_t number = 0; number < slots_.size(); ++number) {
      Slot& slot = slots_[number];
      if (slot.cell != cell || !range.contains(slot.frame) || slot.lost) continue;
      if (slot.state == SlotState::spare) {
        std::erase(spare_, number);
        slot.state = SlotState::returning;
        returning_.push_back(number);
      } else if (slot.state == SlotState::taken) {
        const std::uint32_t frame = parts_.node_frames + number;
        if (taken.empty() || taken.back().frames.end() != frame ||
            taken.back().away != slot.away || taken.back().frames.count == give_up_run_max) {
          taken.push_back({{frame, 0}, slot.away});
        }
        ++taken.back().frames.count;
      }
    }
  }
  return_slots();
  for (const Run& run : taken) {
    with_reclaimer([&run](FrameReclaimer& holder) { (void)holder.reclaim(run.frames); }, run.away);
    return_slots();
  }
}

void BorrowedFrames::on_lender_down(CellId cell) {
  if (cell < 0 || cell >= max_cells) return;
  Taken taken;
  {
    Lock lock(mutex_);
    lender(cell).down = true;
    lender(cell).unsure = false;
    std::vector<std::uint32_t> slots;
    for (std::uint32_t number = 0; number < slots_.size(); ++number) {
      const Slot& slot = slots_[number];
      if (slot.state == SlotState::empty || slot.cell != cell) continue;
      slots.push_back(number);
    }
    taken = taken_locked(slots);
    lose_slots_locked(slots);
    (void)changed_.wait_for(lock, std::chrono::nanoseconds(copies_wait_ns),
                            [&] { return lender(cell).copies == 0; });
  }
  tell_lost(taken);
}

void BorrowedFrames::on_tick() {
  const Lock lock(mutex_);
  if (stopped_) return;
  for (CellId cell = 0; cell < max_cells; ++cell) {
    if (lender(cell).unsure && !lender(cell).down) post([this, cell] { settle_loans(cell); });
  }
  if (counts_.borrowed == 0) return;
  if (!returning_.empty()) post([this] { return_slots(); });
  const std::uint64_t now = now_ns();
  if (now < next_idle_ns_) return;
  next_idle_ns_ = now + parts_.idle_ns;
  post([this] { give_up_idle(); });
}

// What nobody has used since the last time.
void BorrowedFrames::give_up_idle() {
  const auto give_up = [this](FrameReclaimer& holder) {
    holder.give_up_idle({parts_.node_frames, static_cast<std::uint32_t>(slots_.size())});
  };
  with_reclaimer(give_up);
  with_reclaimer(give_up, true);
  {
    const Lock lock(mutex_);
    std::erase_if(spare_, [this](std::uint32_t number) {
      Slot& slot = slots_[number];
      if (!slot.idle) {
        slot.idle = true;
        return false;
      }
      slot.state = SlotState::returning;
      returning_.push_back(number);
      return true;
    });
  }
  return_slots();
}

}  // namespace hive::cell
