// Frames that the cache gives up: because the memory home needs them, or because nobody uses them.

#include <optional>
#include <utility>

#include "base/check.h"
#include "cell/files/page_cache.h"

namespace hive::cell {

namespace {

constexpr std::uint64_t reclaim_max_ns = 10 * ns_per_s;
// In one go: the lock is held so long.
constexpr std::size_t give_up_pages_max = 1024;

}  // namespace

bool PageCache::reclaim(machine::PageRange range) {
  HIVE_CHECK(range.end() <= pages_.size());
  const std::uint64_t deadline = now_ns() + reclaim_max_ns;
  Lock lock(mutex_);
  for (;;) {
    const Left left = reclaim_some(lock, range);
    if (left == Left::nothing) return true;
    if (left == Left::failed || now_ns() >= deadline) return false;
  }
}

// What is clean goes; one batch of what is dirty is written back; else it waits a moment.
PageCache::Left PageCache::reclaim_some(Lock& lock, machine::PageRange range) {
  Frames gone;
  Frames never_held;
  std::optional<std::uint32_t> dirty;
  bool some_stay = in_transit_ > 0;
  for (std::uint32_t frame = range.first; frame < range.end(); ++frame) {
    Page& page = pages_[frame];
    if (page.state == PageState::absent) continue;
    if (gone.size() >= give_up_pages_max) {
      some_stay = true;
      break;
    }
    if (page.state == PageState::spare) {
      take_spare_locked(frame);
      never_held.push_back(frame);
      continue;
    }
    const bool is_free = page.state == PageState::ready && page.pins == 0 && !page.writing &&
                         !page.lost && may_leave_locked(frame);
    if (is_free && (page.dirty == 0 || parts_.sabotage.write_back)) {
      begin_leaving_locked(frame);
      gone.push_back(frame);
      continue;
    }
    some_stay = true;
    if (is_free && !dirty && may_write_back_locked(frame)) dirty = frame;
  }
  counts_.evicted += gone.size();
  const bool any_gone = !gone.empty() || !never_held.empty();
  if (!gone.empty()) {
    (void)take_from_mappings(lock, gone);
    end_leaving_locked(gone);
  }
  give_back(lock, std::move(gone));
  give_back(lock, std::move(never_held));
  if (!some_stay) return Left::nothing;
  if (dirty) {
    // It may have been written, or have left, while the lock was released.
    const Page& page = pages_[*dirty];
    const bool is_still = page.state == PageState::ready && page.dirty != 0 && !page.writing &&
                          may_write_back_locked(*dirty);
    if (is_still && !write_back(lock, begin_batch_locked(*dirty))) return Left::failed;
    return Left::some;
  }
  if (!any_gone) changed_.wait_for(lock, std::chrono::nanoseconds(frame_wait_ns));
  return Left::some;
}

// --- what nobody uses ---------------------------------------------------------------------------

void PageCache::give_up_idle(machine::PageRange range) {
  HIVE_CHECK(range.end() <= pages_.size());
  for (std::uint32_t frame = range.first; frame < range.end();) {
    Frames idle;
    Frames spare;
    Lock lock(mutex_);
    // As when the clock hand passes.
    const auto marks = marks_ ? marks_() : nullptr;
    const std::uint32_t sweep = table_.head().sweep.load(std::memory_order_relaxed);
    for (; frame < range.end() && idle.size() < give_up_pages_max; ++frame) {
      Page& page = pages_[frame];
      if (page.state == PageState::spare) {
        take_spare_locked(frame);
        spare.push_back(frame);
        continue;
      }
      const bool is_idle = page.state == PageState::ready && page.pins == 0 && !page.writing &&
                           !page.lost && page.dirty == 0;
      const bool is_used = std::exchange(page.used, false);
      const std::uint32_t passed = std::exchange(page.passed, sweep);
      const bool is_marked = marks != nullptr && is_idle && marks->is_used(frame, passed);
      if (!is_idle || is_used || is_marked) continue;
      detach_locked(frame);
      idle.push_back(frame);
    }
    table_.head().sweep.store(sweep + 1, std::memory_order_relaxed);
    counts_.evicted += idle.size();
    if (!idle.empty()) {
      lock.unlock();
      if (!parts_.sabotage.sequence) parts_.frames->lose_frames(idle);
      lock.lock();
    }
    give_back(lock, std::move(idle));
    give_back(lock, std::move(spare));
  }
}

}  // namespace hive::cell
