// How pages come into frames and leave them: invariant 4 of page_cache.h.

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "cell/files/page_cache.h"
#include "machine/fault_point.h"

namespace hive::cell {

using machine::page_bytes;

namespace {

constexpr int frame_rounds_max = 1000;
// Of the clock hand, in one go: the lock is held so long.
constexpr std::size_t sweep_steps_max = 8192;

}  // namespace

Result<PageCache::Frames> PageCache::get_frames(Lock& lock, std::uint32_t frames_max,
                                                bool at_once, bool own_only) {
  frames_max = std::min(frames_max, batch_pages_max);
  const std::uint64_t deadline = now_ns() + content_wait_max_ns;
  for (int round = 0; round < frame_rounds_max && now_ns() < deadline; ++round) {
    Frames frames;
    for (std::size_t i = spare_.size(); i > 0 && frames.size() < frames_max; --i) {
      const std::uint32_t frame = spare_[i - 1];
      if (own_only && is_borrowed(frame)) continue;
      frames.push_back(frame);
      spare_.erase(spare_.begin() + static_cast<std::ptrdiff_t>(i - 1));
      pages_[frame].state = PageState::moving;
    }
    in_hand_ += frames.size();
    if (!frames.empty()) return frames;

    ++in_transit_;
    lock.unlock();
    frames = parts_.frames->take_frames(frames_max);
    const bool are_coming = frames.empty() && parts_.frames->are_frames_coming();
    lock.lock();
    --in_transit_;
    for (const std::uint32_t frame : frames) pages_[frame].state = PageState::moving;
    in_hand_ += frames.size();
    if (own_only && !frames.empty() && is_borrowed(frames.front())) {
      spare_locked(frames);
      frames.clear();
    }
    if (!frames.empty()) return frames;

    Sweep swept = sweep_locked(frames_max, at_once || own_only);
    if (!swept.clean.empty()) {
      for (const std::uint32_t frame : swept.clean) {
        note_eviction_locked(frame);
        begin_leaving_locked(frame);
      }
      counts_.evicted += swept.clean.size();
      const Frames renewed = take_from_mappings(lock, swept.clean);
      end_leaving_locked(swept.clean);
      std::erase_if(swept.clean, [&](std::uint32_t frame) {
        return std::ranges::find(renewed, frame) != renewed.end();
      });
      give_back(lock, std::move(swept.clean));
      if (!renewed.empty()) return renewed;
      continue;
    }
    if (at_once) return takes_too_long();
    if (swept.dirty) {
      (void)write_back(lock, begin_batch_locked(*swept.dirty));
      continue;
    }
    if (swept.failed) {
      const FileRef file = ref_locked(*pages_[*swept.failed].file);
      if (write_back(lock, begin_batch_locked(*swept.failed))) continue;
      if (any_lost_locked({&*swept.failed, 1})) continue;
      return fail(file->last_failure);
    }
    if (!swept.all) {
      lock.unlock();  // for others
      lock.lock();
      continue;
    }
    const bool are_linked = own_only ? has_own_pages_locked() : linked_ > 0;
    const bool have_others_some = are_linked || in_hand_ > 0 || in_transit_ > 0;
    if (!have_others_some && !are_coming) {
      lock.unlock();
      const bool found = parts_.frames->find_more(own_only);
      lock.lock();
      if (found) continue;
      break;
    }
    changed_.wait_for(lock, std::chrono::nanoseconds(frame_wait_ns));
  }
  return failure(Code::exhausted, ENOMEM, "no frame of the node is to be had for a page");
}

// The clock hand goes on until it has found enough cold pages, or has passed all of them twice:
// once to forget that they were used, once to take them.
PageCache::Sweep PageCache::sweep_locked(std::uint32_t frames_max, bool own_only) {
  Sweep found;
  const std::uint64_t now = now_ns();
  const std::size_t steps = std::min(2 * ring_.size(), sweep_steps_max);
  found.all = steps == 2 * ring_.size();
  // Marks count in the first round only: a task that marks all pages for ever keeps none.
  const auto marks = marks_ ? marks_() : nullptr;
  const std::size_t marked_steps = marks == nullptr ? 0 : ring_.size();
  const std::uint32_t sweep = table_.head().sweep.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < steps && found.clean.size() < frames_max; ++i) {
    if (hand_ >= ring_.size()) hand_ = 0;
    const std::uint32_t frame = ring_[hand_++];
    Page& page = pages_[frame];
    if (own_only && is_borrowed(frame)) continue;
    if (page.pins > 0 || page.writing || page.lost || !may_leave_locked(frame)) continue;
    const std::uint32_t passed = std::exchange(page.passed, sweep);
    const bool is_used = std::exchange(page.referenced, false);
    if (is_used || (i < marked_steps && marks->is_used(frame, passed))) continue;
    if (page.dirty != 0 && !parts_.sabotage.write_back) {
      if (!may_write_back_locked(frame)) continue;
      auto& kind = page.tries_at_ns > now ? found.failed : found.dirty;
      if (!kind) kind = frame;
      continue;
    }
    if (std::ranges::find(found.clean, frame) == found.clean.end()) found.clean.push_back(frame);
  }
  table_.head().sweep.store(sweep + 1, std::memory_order_relaxed);
  return found;
}

void PageCache::take_spare_locked(std::uint32_t frame) {
  std::erase(spare_, frame);
  pages_[frame].state = PageState::moving;
  ++in_hand_;
}

void PageCache::spare_locked(std::span<const std::uint32_t> frames) {
  for (const std::uint32_t frame : frames) {
    HIVE_CHECK(pages_[frame].state == PageState::moving);
    pages_[frame].state = PageState::spare;
    spare_.push_back(frame);
  }
  in_hand_ -= frames.size();
  if (!frames.empty()) changed_.notify_all();
}

// Frames in hand, which have been lost or never held anything.
void PageCache::give_back(Lock& lock, Frames frames) {
  if (frames.empty()) return;
  for (const std::uint32_t frame : frames) {
    HIVE_CHECK(pages_[frame].state == PageState::moving);
    pages_[frame].state = PageState::absent;
  }
  in_hand_ -= frames.size();
  ++in_transit_;
  lock.unlock();
  parts_.frames->give_back_frames(frames);
  lock.lock();
  --in_transit_;
  changed_.notify_all();
}

// Nobody takes pages from under whoever has the file for himself, but he. Who waits to be alone
// waits for what is done to pages to be over; but those that it waits for as well may need the
// frames of just these pages.
bool PageCache::is_at_hand_locked(const File& file) const {
  const bool is_open = file.waits_alone == 0 || file.readers > 0 || file.writer;
  return !file.alone && is_open;
}

bool PageCache::may_leave_locked(std::uint32_t frame) const {
  const Page& page = pages_[frame];
  return !page.doubted && is_at_hand_locked(*page.file);
}

void PageCache::detach_locked(std::uint32_t frame) {
  begin_leaving_locked(frame);
  end_leaving_locked({&frame, 1});
}

void PageCache::begin_leaving_locked(std::uint32_t frame) {
  Page& page = pages_[frame];
  HIVE_CHECK(page.state == PageState::ready && page.pins == 0 && !page.writing);
  make_clean_locked(frame);
  // Its place in the ring goes to the last one.
  const std::uint32_t last = ring_.back();
  ring_[page.ring_at] = last;
  pages_[last].ring_at = page.ring_at;
  ring_.pop_back();
  table_.head().pages.fetch_sub(1, std::memory_order_relaxed);
  page.state = PageState::filling;
  table_.set_sequence(frame, 1, -1, no_frame);
  ++page.file->leaving;
}

void PageCache::end_leaving_locked(std::span<const std::uint32_t> frames) {
  for (const std::uint32_t frame : frames) --pages_[frame].file->leaving;
  abandon_fill_locked(frames);
  changed_.notify_all();
}

PageCache::Frames PageCache::take_from_mappings(Lock& lock,
                                                std::span<const std::uint32_t> frames) {
  Frames renewed(frames.begin(), frames.end());
  lock.unlock();
  if (!parts_.sabotage.sequence) parts_.frames->lose_frames(frames);
  machine::fault_point(machine::FaultPoint::reclaim);
  parts_.frames->renew_frames(renewed);
  lock.lock();
  return renewed;
}

void PageCache::begin_fill_locked(File& file, std::uint32_t page_number, std::uint32_t frame) {
  Page& page = pages_[frame];
  HIVE_CHECK(page.state == PageState::moving);
  note_miss_locked(file, page_number);
  // A table that has lost a dirty page would have us write an old one over a new one.
  HIVE_CHECK(!file.dirty.contains(page_number));
  page = {};
  page.file = &file;
  page.page = page_number;
  page.state = PageState::filling;
  page.file_after = file.first_frame;
  if (file.first_frame != no_frame) pages_[file.first_frame].file_before = frame;
  file.first_frame = frame;
  ++file.frames;
  ++linked_;
  if (is_borrowed(frame)) ++linked_borrowed_;
  --in_hand_;
  table_.link(frame, file.number, page_number, 1);
}

void PageCache::abandon_fill_locked(std::span<const std::uint32_t> frames) {
  for (const std::uint32_t frame : frames) {
    Page& page = pages_[frame];
    HIVE_CHECK(page.state == PageState::filling);
    table_.unlink(frame);
    File& file = *page.file;
    if (page.file_after != no_frame) pages_[page.file_after].file_before = page.file_before;
    if (page.file_before != no_frame) {
      pages_[page.file_before].file_after = page.file_after;
    } else {
      file.first_frame = page.file_after;
    }
    --file.frames;
    --linked_;
    if (is_borrowed(frame)) --linked_borrowed_;
    page = {};
    page.state = PageState::moving;
    ++in_hand_;
  }
}

bool PageCache::finish_fill(Lock& lock, File& file, std::uint32_t page_number,
                            std::span<const std::uint32_t> filled) {
  std::vector<HeldFrame> held;
  for (const std::uint32_t frame : filled) {
    held.push_back({frame, page_number++, file.number, 0});
  }
  if (parts_.sabotage.sequence) parts_.frames->lose_frames(filled);  // too late
  parts_.frames->hold_frames(held);
  if (std::ranges::any_of(held, [](const HeldFrame& h) { return h.sequence == 0; })) {
    parts_.frames->lose_frames(filled);
    lock.lock();
    abandon_fill_locked(filled);
    give_back(lock, Frames(filled.begin(), filled.end()));
    return false;
  }
  std::vector<FramePlace> places;
  for (const HeldFrame& h : held) places.push_back(place_of(h.frame));
  lock.lock();
  for (std::size_t i = 0; i < held.size(); ++i) {
    const HeldFrame& h = held[i];
    Page& page = pages_[h.frame];
    HIVE_CHECK(page.state == PageState::filling);
    page.state = PageState::ready;
    page.used = true;
    page.passed = table_.head().sweep.load(std::memory_order_relaxed) - 1;
    page.ring_at = static_cast<std::uint32_t>(ring_.size());
    ring_.push_back(h.frame);
    table_.set_sequence(h.frame, h.sequence, places[i].home, places[i].frame);
  }
  table_.head().pages.fetch_add(held.size(), std::memory_order_relaxed);
  changed_.notify_all();
  if (!lost_.empty()) work_.notify_one();
  return true;
}

void PageCache::pin_locked(std::span<const std::uint32_t> frames) {
  for (const std::uint32_t frame : frames) {
    ++pages_[frame].pins;
    pages_[frame].referenced = true;
    pages_[frame].used = true;
  }
  counts_.hits += frames.size();
}

void PageCache::unpin_locked(std::span<const std::uint32_t> frames) {
  for (const std::uint32_t frame : frames) --pages_[frame].pins;
  changed_.notify_all();
  if (!lost_.empty()) work_.notify_one();
}

namespace {

// Calls copy(offset in user memory, position in the bytes, how many) for each run of frames that
// lie one behind the other.
template <class Copy>
Result<void> each_run(std::span<const std::uint32_t> frames, std::size_t skip, std::size_t bytes,
                      Copy copy) {
  for (std::size_t i = 0, done = 0; done < bytes;) {
    HIVE_CHECK(i < frames.size());
    const std::size_t first = i;
    for (++i; i < frames.size() && frames[i] == frames[i - 1] + 1;) ++i;
    const std::size_t count = std::min((i - first) * page_bytes - skip, bytes - done);
    auto copied = copy(frames[first] * page_bytes + skip, done, count);
    if (!copied) return copied;
    done += count;
    skip = 0;
  }
  return {};
}

}  // namespace

Result<void> PageCache::copy_out(std::span<const std::uint32_t> frames, std::size_t skip,
                                 std::span<std::byte> out) {
  return each_run(frames, skip, out.size(), [&](std::uint64_t at, std::size_t done,
                                                std::size_t count) {
    auto copied = parts_.frames->read_frames(at, out.subspan(done, count));
    if (copied) return copied;
    return Result<void>(failure(Code::host, EIO, "a frame cannot be read"));
  });
}

Result<void> PageCache::copy_in(std::span<const std::uint32_t> frames, std::size_t skip,
                                std::span<const std::byte> bytes) {
  return each_run(frames, skip, bytes.size(), [&](std::uint64_t at, std::size_t done,
                                                  std::size_t count) {
    auto copied = parts_.frames->write_frames(at, bytes.subspan(done, count));
    if (copied) return copied;
    return Result<void>(failure(Code::host, EIO, "a frame cannot be written"));
  });
}

}  // namespace hive::cell
