// Frames that hold pages of files: invariant 12 of home.h.

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "cell/home/home.h"
#include "proto/causes.h"

namespace hive::cell {

namespace cause = proto::cause;

void Home::use_reclaimer(FrameReclaimer* reclaimer) {
  Lock lock(mutex_);
  HIVE_CHECK(reclaimer == nullptr || reclaimer_ == nullptr);
  reclaimer_ = reclaimer;
  calls_done_.wait(lock, [this] { return reclaimed_.count == 0; });
}

Result<std::uint32_t> Home::give_cached(ClientId id, std::span<const HeldFrame> held) {
  Lock lock(mutex_);
  std::vector<std::uint32_t> frames;
  for (const HeldFrame& h : held) {
    if (frames_.holds(h.frame, h.file, h.page, h.sequence)) frames.push_back(h.frame);
  }
  std::ranges::sort(frames);
  std::uint32_t given = 0;
  for (std::size_t i = 0; i < frames.size();) {
    PageRange run{frames[i], 1};
    for (++i; i < frames.size() && frames[i] <= run.end(); ++i) {
      if (frames[i] == run.end()) ++run.count;
    }
    const auto done = give_run(lock, id, run);
    if (!done) return fail(done.error());
    given += *done;
  }
  if (given == 0) {
    return fail(Code::not_found, "the frames hold these pages no more", parts_.self);
  }
  return given;
}

// The frames held what was asked for a moment ago. Those that have been lost since, while the lock
// was released, and may be about to be renewed, are left out.
Result<std::uint32_t> Home::give_run(Lock& lock, ClientId id, PageRange run) {
  if (!wait_for_calls_of(lock, id, run)) {
    return fail(Code::busy, cause::pages_in_use, parts_.self);
  }
  const auto client = client_locked(id);
  if (!client) return fail(client.error());
  std::uint32_t count = 0;
  while (count < run.count && frames_.is_cached(run.first + count)) ++count;
  if (count == 0) return 0;
  run.count = count;
  touched_.assign(run, true);
  for (std::uint32_t frame = run.first; frame < run.end(); ++frame) {
    if (frames_.borrower_of(frame) >= 0) shown_.assign({frame, 1}, true);
  }
  const auto ticket = page_calls_.begin(id, run);
  lock.unlock();
  // The process may have lost them to Linux, whatever we believe.
  (*client)->space->forget(run);
  const auto given = (*client)->space->give(run);
  lock.lock();
  end_call_locked(ticket);
  if (!given) return fail(host_error(given.error()));
  return *given;
}

std::vector<std::uint32_t> Home::take_frames(std::uint32_t frames_max) {
  Lock lock(mutex_);
  auto taken = frames_.take_cached(frames_max, reclaimed_);
  if (!taken && frames_.count(FrameState::cleaning) > 0) {
    calls_done_.wait_for(lock, std::chrono::nanoseconds(page_wait_max_ns),
                         [this] { return !cleaning_; });
    clean_up_locked(lock);
    taken = frames_.take_cached(frames_max, reclaimed_);
  }
  std::vector<std::uint32_t> frames;
  if (!taken) return frames;
  for (std::uint32_t frame = taken->first; frame < taken->end(); ++frame) frames.push_back(frame);
  return frames;
}

bool Home::are_frames_coming() const {
  const Lock lock(mutex_);
  return reclaimed_.count > 0 || frames_.count(FrameState::cleaning) > 0;
}

void Home::hold_frames(std::span<HeldFrame> frames) {
  const Lock lock(mutex_);
  for (HeldFrame& held : frames) {
    held.sequence = frames_.hold(held.frame, held.file, held.page);
  }
}

void Home::lose_frames(std::span<const std::uint32_t> frames) {
  const Lock lock(mutex_);
  for (const std::uint32_t frame : frames) {
    frames_.lose({frame, 1});
    forget_openers_locked(frame);
  }
}

void Home::renew_frames(std::vector<std::uint32_t>& frames) {
  if (parts_.sabotage.punch) return;
  Lock lock(mutex_);
  std::erase_if(frames, [&](std::uint32_t frame) {
    return touched_.test(frame) && !renew_frame(lock, frame);
  });
}

// It was lost, so no new call on it begins.
bool Home::renew_frame(Lock& lock, std::uint32_t frame) {
  const PageRange range{frame, 1};
  const auto spaces = spaces_locked();
  lock.unlock();
  take_back({&range, 1});
  lock.lock();
  if (!wait_for_calls(lock, range)) return false;
  const auto ticket = page_calls_.begin(0, range);
  lock.unlock();
  for (const auto& space : spaces) space->forget(range);
  const auto filled = refill(range);
  lock.lock();
  end_call_locked(ticket);
  if (filled) touched_.assign(range, false);
  return filled.has_value();
}

void Home::give_back_frames(std::span<const std::uint32_t> frames) {
  std::vector<std::uint32_t> sorted(frames.begin(), frames.end());
  std::ranges::sort(sorted);
  const Lock lock(mutex_);
  for (std::size_t i = 0; i < sorted.size();) {
    PageRange run{sorted[i], 1};
    for (++i; i < sorted.size() && sorted[i] == run.end(); ++i) ++run.count;
    begin_cleaning_locked(run);
  }
}

// What is lent is closed to this cell's own kernel as well.
Result<void> Home::check_not_lent(std::uint64_t offset, std::size_t bytes) const {
  if (parts_.loans.skip_closing || bytes == 0) return {};
  const std::uint64_t pages = parts_.layout.user_pages();
  const std::uint64_t end = (offset + bytes - 1) / machine::page_bytes;
  for (std::uint64_t frame = offset / machine::page_bytes; frame <= end && frame < pages;
       ++frame) {
    if (frames_.borrower_of(static_cast<std::uint32_t>(frame)) < 0) continue;
    return fail(Code::refused, "the frame is lent to another cell", parts_.self);
  }
  return {};
}

Result<void> Home::read_frames(std::uint64_t offset, std::span<std::byte> out) {
  if (auto may = check_not_lent(offset, out.size()); !may) return may;
  return parts_.memory->read(offset, out);
}

Result<void> Home::write_frames(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (auto may = check_not_lent(offset, bytes.size()); !may) return may;
  return parts_.memory->write(offset, bytes);
}

Result<void> Home::check_cached(std::span<const HeldFrame> held, std::size_t frames,
                                bool in_transit) const {
  const Lock lock(mutex_);
  const bool all_hold = std::ranges::all_of(held, [this](const HeldFrame& h) {
    return frames_.holds(h.frame, h.file, h.page, h.sequence);
  });
  const std::uint64_t cached = frames_.count(FrameState::cached);
  if (!all_hold || (frames != cached && !in_transit)) {
    return fail(Code::corrupt, "the cache has other pages in frames than their pfdats say",
                parts_.self);
  }
  return {};
}

}  // namespace hive::cell
