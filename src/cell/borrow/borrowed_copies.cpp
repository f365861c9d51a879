// What a cache does with frames that it has, where some of them are borrowed.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "cell/borrow/borrowed_frames.h"

namespace hive::cell {

using machine::page_bytes;

namespace {

// Of what has to be done, and was perhaps not: the lender is slow.
constexpr int tries_max = 3;

bool is_over(Code why) { return why == Code::not_found || why == Code::cell_down; }

}  // namespace

// Of those that are borrowed and worth a question.
std::vector<BorrowedFrames::Group> BorrowedFrames::groups_of(
    std::span<const std::uint32_t> frames) const {
  std::vector<Group> groups;
  const Lock lock(mutex_);
  if (stopped_) return groups;
  for (const std::uint32_t frame : frames) {
    if (!is_slot(frame)) continue;
    const std::uint32_t number = frame - parts_.node_frames;
    const Slot& slot = slots_.at(number);
    HIVE_CHECK(slot.state == SlotState::taken);
    if (slot.lost || slot.bad) continue;
    auto group = std::ranges::find_if(groups, [&](const Group& g) {
      return g.cell == slot.cell && g.loan == slot.loan && g.frames.size() < lent_batch_max;
    });
    if (group == groups.end()) group = groups.insert(groups.end(), {slot.cell, slot.loan, {}, {}});
    group->slots.push_back(number);
    group->frames.push_back(slot.frame);
  }
  return groups;
}

// The lender does not know them any more, or does not answer.
void BorrowedFrames::note_failure(const Group& group, const Error& error) {
  const Lock lock(mutex_);
  lender(group.cell).not_before_ns = now_ns() + parts_.pause_ns;
  if (is_over(error.code)) return lose_slots_locked(group.slots);
  for (const std::uint32_t number : group.slots) slots_[number].bad = true;
}

void BorrowedFrames::hold_frames(std::span<HeldFrame> frames) {
  for (std::size_t i = 0; i < frames.size();) {
    const std::size_t first = i;
    const bool borrowed = is_slot(frames[first].frame);
    const FramePlace place = place_of(frames[first].frame);
    const auto is_next = [&](const HeldFrame& h) {
      if (is_slot(h.frame) != borrowed) return false;
      if (!borrowed) return true;
      return i - first < lent_batch_max && h.file == frames[first].file &&
             h.page == frames[first].page + (i - first) && place_of(h.frame).home == place.home;
    };
    while (i < frames.size() && is_next(frames[i])) ++i;
    const auto run = frames.subspan(first, i - first);
    if (!borrowed) {
      parts_.own->hold_frames(run);
    } else {
      hold_group(run);
    }
  }
}

// Neighbouring pages in frames of one lender; not always of one loan.
void BorrowedFrames::hold_group(std::span<HeldFrame> frames) {
  for (std::size_t i = 0; i < frames.size();) {
    Group group;
    std::vector<HeldFrame> held;
    const std::size_t first = i;
    {
      const Lock lock(mutex_);
      for (; i < frames.size(); ++i) {
        const std::uint32_t number = frames[i].frame - parts_.node_frames;
        const Slot& slot = slots_.at(number);
        HIVE_CHECK(slot.state == SlotState::taken);
        frames[i].sequence = 0;
        const bool is_useless = slot.lost || slot.bad || stopped_;
        if (!group.slots.empty() && (is_useless || slot.loan != group.loan)) break;
        if (is_useless) continue;
        if (group.slots.empty() && i != first) break;  // pages must follow one another
        group.cell = slot.cell;
        group.loan = slot.loan;
        group.slots.push_back(number);
        held.push_back({slot.frame, frames[i].page, frames[i].file, 0});
      }
    }
    if (held.empty()) continue;
    auto done = parts_.lenders->hold(group.cell, group.loan, held);
    for (int k = 1; k < tries_max && !done && done.error().code == Code::busy; ++k) {
      done = parts_.lenders->hold(group.cell, group.loan, held);
    }
    if (!done) {
      note_failure(group, done.error());
      continue;
    }
    for (std::size_t k = 0; k < held.size(); ++k) frames[first + k].sequence = held[k].sequence;
  }
}

// Borrowed frames are not mapped (page_cache.h, invariant 8).
Result<void> BorrowedFrames::close_frames(std::span<const std::uint32_t> frames) {
  std::vector<std::uint32_t> own;
  std::ranges::copy_if(frames, std::back_inserter(own), [this](auto f) { return !is_slot(f); });
  if (own.empty()) return {};
  return parts_.own->close_frames(own);
}

void BorrowedFrames::lose_frames(std::span<const std::uint32_t> frames) {
  std::vector<std::uint32_t> own;
  std::ranges::copy_if(frames, std::back_inserter(own), [this](auto f) { return !is_slot(f); });
  if (!own.empty()) parts_.own->lose_frames(own);
  for (const Group& group : groups_of(frames)) {
    Result<void> done;
    for (int i = 0; i < tries_max; ++i) {
      done = parts_.lenders->lose(group.cell, group.which());
      if (done || is_over(done.error().code)) break;
    }
    if (!done) note_failure(group, done.error());
  }
}

void BorrowedFrames::renew_frames(std::vector<std::uint32_t>& frames) {
  std::vector<std::uint32_t> good;
  std::ranges::copy_if(frames, std::back_inserter(good), [this](auto f) { return !is_slot(f); });
  if (!good.empty()) parts_.own->renew_frames(good);
  for (const Group& group : groups_of(frames)) {
    auto done = parts_.lenders->renew(group.cell, group.which());
    for (int k = 1; k < tries_max && !done && done.error().code == Code::busy; ++k) {
      done = parts_.lenders->renew(group.cell, group.which());
    }
    if (!done) {
      note_failure(group, done.error());
      continue;
    }
    const Lock lock(mutex_);
    for (std::size_t i = 0; i < group.slots.size(); ++i) {
      const Slot& slot = slots_[group.slots[i]];
      const bool is_renewed = (*done >> i & 1) != 0 && !slot.lost && !slot.bad;
      if (is_renewed) good.push_back(parts_.node_frames + group.slots[i]);
    }
  }
  frames = std::move(good);
}

// --- content ------------------------------------------------------------------------------------

Result<void> BorrowedFrames::read_frames(std::uint64_t offset, std::span<std::byte> out) {
  return copy(offset, out.data(), nullptr, out.size());
}

Result<void> BorrowedFrames::write_frames(std::uint64_t offset, std::span<const std::byte> bytes) {
  return copy(offset, nullptr, bytes.data(), bytes.size());
}

Result<void> BorrowedFrames::copy(std::uint64_t offset, std::byte* out, const std::byte* in,
                                  std::size_t bytes) {
  const std::uint64_t node_bytes = std::uint64_t{parts_.node_frames} * page_bytes;
  const std::size_t own =
      offset < node_bytes ? std::min<std::uint64_t>(bytes, node_bytes - offset) : 0;
  if (own > 0) {
    auto done = out != nullptr ? parts_.own->read_frames(offset, {out, own})
                               : parts_.own->write_frames(offset, {in, own});
    if (!done || own == bytes) return done;
  }
  return copy_borrowed(offset + own, out == nullptr ? nullptr : out + own,
                       in == nullptr ? nullptr : in + own, bytes - own);
}

Result<void> BorrowedFrames::copy_borrowed(std::uint64_t offset, std::byte* out,
                                           const std::byte* in, std::size_t bytes) {
  const auto is_there = [this](const Slot& slot) {
    return slot.state == SlotState::taken && !slot.lost;
  };
  for (std::size_t done = 0; done < bytes;) {
    const std::uint64_t at = offset + done;
    const std::size_t skip = at % page_bytes;
    const auto first = static_cast<std::uint32_t>(at / page_bytes) - parts_.node_frames;
    Group group;
    Lock lock(mutex_);
    // Frames that lie one behind the other at the lender.
    for (std::uint32_t number = first; number < slots_.size(); ++number) {
      const Slot& slot = slots_[number];
      const bool is_next =
          group.slots.empty() || (slot.cell == group.cell && slot.loan == group.loan &&
                                  slot.frame == group.frames.back() + 1);
      if (!is_there(slot) || !is_next || group.slots.size() == lent_batch_max ||
          group.slots.size() * page_bytes >= skip + (bytes - done)) {
        break;
      }
      group.cell = slot.cell;
      group.loan = slot.loan;
      group.slots.push_back(number);
      group.frames.push_back(slot.frame);
    }
    if (group.slots.empty()) {
      // Whoever has seen the loss may not have told who has it yet.
      FrameReclaimer* const holder = holder_locked(first);
      lock.unlock();
      const std::uint32_t frame = parts_.node_frames + first;
      if (holder != nullptr) holder->lose({&frame, 1});
      return fail(Code::lost, "a borrowed frame was lost", parts_.self);
    }
    ++lender(group.cell).copies;
    lock.unlock();
    const std::size_t count = std::min(group.slots.size() * page_bytes - skip, bytes - done);
    const std::uint64_t from = std::uint64_t{group.frames[0]} * page_bytes + skip;
    const auto move = [&] {
      return out != nullptr ? parts_.lenders->read(group.cell, from, {out + done, count})
                            : parts_.lenders->write(group.cell, from, {in + done, count});
    };
    bool copied = move();
    Result<void> reopened;
    if (!copied) {
      // Linux may have reclaimed a page of ours, or the lender has taken it back.
      for (int k = 0; k < tries_max; ++k) {
        reopened = parts_.lenders->reopen(group.cell, group.which());
        if (reopened || reopened.error().code != Code::busy) break;
      }
      copied = reopened && move();
    }
    lock.lock();
    if (--lender(group.cell).copies == 0) changed_.notify_all();
    const bool is_still = std::ranges::all_of(
        group.slots, [&](std::uint32_t number) { return is_there(slots_[number]); });
    if (copied && is_still) {
      done += count;
      continue;
    }
    std::vector<std::uint32_t> lost;
    for (const std::uint32_t number : group.slots) {
      if (slots_[number].state == SlotState::taken) lost.push_back(parts_.node_frames + number);
    }
    lose_slots_locked(group.slots);
    FrameReclaimer* const holder = holder_locked(group.slots[0]);
    lock.unlock();
    // It calls us: it is there.
    if (holder != nullptr) holder->lose(lost);
    return fail(Code::lost, "a borrowed frame was lost", group.cell);
  }
  return {};
}

// --- the books ----------------------------------------------------------------------------------

Result<void> BorrowedFrames::check_cached(std::span<const HeldFrame> held, std::size_t frames,
                                          bool in_transit) const {
  std::vector<HeldFrame> own;
  std::size_t taken = 0;
  bool all_there = true;
  {
    const Lock lock(mutex_);
    for (const Slot& slot : slots_) taken += slot.state == SlotState::taken && !slot.away ? 1 : 0;
    for (const HeldFrame& h : held) {
      if (!is_slot(h.frame)) {
        own.push_back(h);
        continue;
      }
      const std::size_t number = h.frame - parts_.node_frames;
      all_there = all_there && number < slots_.size() && h.sequence % 2 == 0 &&
                  slots_[number].state == SlotState::taken && !slots_[number].away;
    }
  }
  if (!all_there || (taken > frames && !in_transit)) {
    return fail(Code::corrupt, "the cache has borrowed frames that it does not have", parts_.self);
  }
  return parts_.own->check_cached(own, frames - std::min(frames, taken), in_transit);
}

}  // namespace hive::cell
