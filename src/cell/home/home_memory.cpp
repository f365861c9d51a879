// How pages lose their memory and get new memory: invariants 3, 4 and 8 of home.h.

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "cell/home/away_pages.h"
#include "cell/home/home.h"
#include "proto/causes.h"

namespace hive::cell {

namespace cause = proto::cause;
using machine::page_bytes;

namespace {

constexpr int take_back_attempts_max = 3;
constexpr int allocate_attempts_max = 3;
constexpr std::uint64_t cleaning_wait_max_ns = 1'000'000'000;
// The cache writes to a disk before it gives frames back.
constexpr int reclaims_max = 3;
constexpr std::uint64_t reclaim_wait_max_ns = 10'000'000'000;

}  // namespace

std::optional<machine::PageRange> Home::allocate(Lock& lock, std::uint32_t pages,
                                                 FrameState use) {
  for (int i = 0; i < reclaims_max; ++i) {
    if (auto range = allocate_free(lock, pages, use)) return range;
    const bool is_my_turn =
        calls_done_.wait_for(lock, std::chrono::nanoseconds(reclaim_wait_max_ns),
                             [this] { return reclaimed_.count == 0; });
    const auto run = frames_.cheapest_run(pages);
    const bool has_any = reclaimer_ != nullptr || frames_.count(FrameState::lent) > 0;
    if (!is_my_turn || !has_any || !run) return std::nullopt;
    reclaimed_ = *run;
    bool gone = true;
    if (FrameReclaimer* const reclaimer = reclaimer_; reclaimer != nullptr) {
      lock.unlock();
      gone = reclaimer->reclaim(*run);
      lock.lock();
    }
    gone = recall(lock, *run) && gone;
    // Still kept from the cache, which would have it again at once.
    const auto range = allocate_free(lock, pages, use);
    reclaimed_ = {};
    calls_done_.notify_all();
    if (range || !gone) return range;
  }
  return std::nullopt;
}

std::optional<machine::PageRange> Home::allocate_free(Lock& lock, std::uint32_t pages,
                                                      FrameState use) {
  if (auto range = frames_.allocate(pages, use)) return range;
  for (int i = 0; i < allocate_attempts_max; ++i) {
    calls_done_.wait_for(lock, std::chrono::nanoseconds(cleaning_wait_max_ns),
                         [this] { return !cleaning_; });
    clean_up_locked(lock);
    if (auto range = frames_.allocate(pages, use)) return range;
    if (dirty_.empty()) break;
    wait_for_calls(lock, PageRange(dirty_.front()));
  }
  return std::nullopt;
}

void Home::clean_up() {
  if (!needs_clean_up()) return;
  Lock lock(mutex_);
  clean_up_locked(lock);
}

void Home::clean_up_locked(Lock& lock) {
  if (cleaning_) return;
  cleaning_ = true;
  const std::vector<PageRange> batch = dirty_;
  for (const PageRange range : batch) {
    // A call in flight may be on these pages still; then they have to wait for the next time.
    if (!page_calls_.any_on(range)) clean_range(lock, range);
  }
  cleaning_ = false;
  calls_done_.notify_all();
}

void Home::clean_range(Lock& lock, PageRange range) {
  std::erase(dirty_, range);
  const auto ticket = page_calls_.begin(0, range);
  const auto spaces = spaces_locked();
  lock.unlock();
  take_back({&range, 1});
  for (const auto& space : spaces) space->forget(range);
  const auto filled = refill(range);
  lock.lock();
  end_call_locked(ticket);
  if (filled) {
    touched_.assign(range, false);
    frames_.end_cleaning(range);
  } else {
    dirty_.push_back(range);
  }
  dirty_count_.store(dirty_.size(), std::memory_order_relaxed);
}

// The use of the frames has ended, and somebody may still see them.
void Home::begin_cleaning_locked(PageRange range) {
  frames_.begin_cleaning(range);
  dirty_.push_back(range);
  dirty_count_.store(dirty_.size(), std::memory_order_relaxed);
}

FrameBooks Home::check_frames() const {
  FrameBooks books;
  const FrameReclaimer* cache = nullptr;
  {
    const Lock lock(mutex_);
    books.sound = check_frames_locked();
    for (std::size_t i = 0; i < frame_states; ++i) {
      books.counts[i] = frames_.count(static_cast<FrameState>(i));
    }
    cache = reclaimer_;
    if (books.sound && cache == nullptr && books.counts[static_cast<std::size_t>(
                                               FrameState::cached)] != 0) {
      books.sound = fail(Code::corrupt, "frames hold pages of files, and nobody has them");
    }
  }
  if (books.sound && cache != nullptr) books.sound = cache->check();
  return books;
}

Result<void> Home::check_frames_locked() const {
  if (auto sound = frames_.check(); !sound) return sound;
  const auto differs = [this](const char* what) {
    return fail(Code::corrupt, what, parts_.self);
  };
  std::uint64_t in_segments = 0;
  for (const auto& [id, segment] : segments_) {
    in_segments += segment.pages.count;
    if (!frames_.all(segment.pages, FrameState::segment, id)) {
      return differs("a segment has frames that are not its own");
    }
  }
  for (const auto& [id, shared] : locks_.all()) {
    if (!frames_.all({shared.page, 1}, FrameState::lock, shared.segment)) {
      return differs("a lock has a frame that is not its own");
    }
  }
  std::uint64_t in_views = 0;
  for (const auto& [client_id, client] : clients_) {
    for (const auto& [view_id, view] : client->views) {
      if (view.part.file != 0) continue;  // its frames are the cache's
      for (const auto& [number, block] : view.blocks) {
        for (const std::uint32_t frame : block.frames) {
          if (frame == home::none) continue;
          ++in_views;
          if (!frames_.all({frame, 1}, FrameState::anonymous, view_id)) {
            return differs("a task's memory has a frame that is not its own");
          }
        }
      }
    }
  }
  if (away_ != nullptr) {
    if (auto sound = away_->check_locked(); !sound) return sound;
  }
  // One range may be out of the list, with whoever cleans it.
  std::uint64_t to_clean = 0;
  for (const PageRange range : dirty_) to_clean += range.count;
  const std::uint64_t cleaning = frames_.count(FrameState::cleaning);
  std::uint64_t lent = 0;
  for (const auto& [slot, entry] : loans_.entries()) lent += entry.frames;
  if (lent != frames_.count(FrameState::lent)) {
    return differs("the frames that are lent are not those of the loans");
  }
  if (in_segments != frames_.count(FrameState::segment) ||
      locks_.size() != frames_.count(FrameState::lock) ||
      in_views != frames_.count(FrameState::anonymous) || to_clean > cleaning ||
      (to_clean < cleaning && !cleaning_)) {
    return differs("frames are in use that nobody has, or the other way round");
  }
  return {};
}

// Gives torn pages new memory and makes them plain again. No call is on them, and none can begin.
Result<void> Home::renew(Lock& lock, PageRange torn_run, const std::vector<std::byte>* content) {
  const auto ticket = page_calls_.begin(0, torn_run);
  const auto spaces = spaces_locked();
  lock.unlock();
  for (const auto& space : spaces) space->forget(torn_run);
  auto filled = refill(torn_run);
  if (filled && content != nullptr) {
    filled = parts_.memory->write(torn_run.first * page_bytes, *content);
    // Half of it must not be taken for the whole.
    if (!filled) take_back({&torn_run, 1});
  }
  lock.lock();
  end_call_locked(ticket);
  if (filled) set_torn_locked(torn_run, false);
  return filled;
}

// The pages were torn and taken back, and are marked as being restored, so that no call begins on
// them; but one may still be on its way.
void Home::restore(Lock& lock, const Restore& what) {
  const bool settled = wait_for_calls(lock, what.pages);
  const Segment* segment = segment_at_locked(what.pages.first);
  if (segment == nullptr || segment->id != what.segment) return;  // it is gone meanwhile
  if (settled) (void)renew(lock, what.pages, what.content.get());
  segment = segment_at_locked(what.pages.first);
  if (segment == nullptr || segment->id != what.segment) return;
  restoring_.assign(what.pages, false);
  calls_done_.notify_all();
}

Result<void> Home::reset(ClientId id, SegmentId segment_id, std::uint64_t first,
                         std::uint64_t pages) {
  Lock lock(mutex_);
  // One run after the other, because each makes us look everything up again. At most as many as
  // pages: a run that was renewed can only tear again through a window, and that makes us busy.
  for (std::uint64_t i = 0; i <= pages; ++i) {
    const auto place = place_locked(id, segment_id, first, pages);
    if (!place) return fail(place.error());
    if (has_window_locked(*place->segment, place->range)) {
      return fail(Code::busy, cause::window_open_there, parts_.self);
    }
    const auto run = torn_.first_run(place->range, true);
    if (!run) return {};
    if (restoring_.any(*run)) return fail(torn_error_locked(*run));
    if (page_calls_.any_on(*run)) {
      if (!wait_for_calls(lock, *run)) return fail(Code::busy, cause::pages_in_use, parts_.self);
      continue;
    }
    if (auto renewed = renew(lock, *run, nullptr); !renewed) return fail(renewed.error());
  }
  return fail(Code::busy, cause::pages_in_use, parts_.self);
}

void Home::take_back(std::span<const PageRange> ranges) const {
  for (const PageRange range : ranges) {
    bool taken = false;
    for (int i = 0; i < take_back_attempts_max && !taken; ++i) {
      taken = parts_.memory->take_back(range).has_value();
    }
    // A home that cannot stop stores to its memory must not go on as if it could.
    if (!taken) HIVE_PANIC("Linux refused to take pages back from the processes that have them");
  }
}

Result<void> Home::refill(PageRange range) const {
  auto filled = parts_.memory->refill(range);
  if (filled) return filled;
  if (filled.error().code == Code::exhausted) {
    return fail(Code::exhausted, cause::host_out_of_memory, parts_.self, filled.error().sys_errno);
  }
  return fail(host_error(filled.error()));
}

bool Home::wait_for_calls(Lock& lock, PageRange range) {
  return calls_done_.wait_for(lock, std::chrono::nanoseconds(page_wait_max_ns),
                              [&] { return !page_calls_.any_on(range); });
}

bool Home::wait_for_calls_of(Lock& lock, ClientId client, PageRange range) {
  if (!page_calls_.any_of(client, range)) return true;
  return calls_done_.wait_for(lock, std::chrono::nanoseconds(page_wait_max_ns),
                              [&] { return !page_calls_.any_of(client, range); });
}

void Home::end_call_locked(PageCalls::Ticket ticket) {
  page_calls_.end(ticket);
  calls_done_.notify_all();
}

std::vector<std::shared_ptr<ClientSpace>> Home::spaces_locked() const {
  std::vector<std::shared_ptr<ClientSpace>> spaces;
  spaces.reserve(clients_.size());
  for (const auto& [id, client] : clients_) spaces.push_back(client->space);
  return spaces;
}

void Home::set_torn_locked(PageRange range, bool torn) {
  const std::uint32_t changed = torn_.assign(range, torn);
  if (changed == 0) return;
  Segment* segment = segment_at_locked(range.first);
  HIVE_CHECK(segment != nullptr);
  if (torn) {
    frames_.lose(range);
    root()->pages_torn.fetch_add(changed, std::memory_order_relaxed);
    segment->record->torn_pages.fetch_add(changed, std::memory_order_relaxed);
    segment->record->losses.fetch_add(1, std::memory_order_release);
  } else {
    frames_.regain(range);
    root()->pages_torn.fetch_sub(changed, std::memory_order_relaxed);
    segment->record->torn_pages.fetch_sub(changed, std::memory_order_relaxed);
  }
}

// The first torn part of the range as an error; all of the range when it is torn no more.
Error Home::lost_locked(PageRange range) {
  Error e = error(Code::lost, cause::torn, parts_.self);
  const Segment* segment = segment_at_locked(range.first);
  const PageRange lost = torn_.first_run(range, true).value_or(range);
  const std::uint32_t base = segment == nullptr ? lost.first : segment->pages.first;
  e.lost_range = {std::uint64_t{lost.first - base} * page_bytes,
                  std::uint64_t{lost.count} * page_bytes};
  return e;
}

Error Home::torn_error_locked(PageRange range) {
  if (!restoring_.any(range)) return lost_locked(range);
  return error(Code::busy, cause::being_restored, parts_.self);
}

// An error of the machine in words that a task knows.
Error Home::host_error(const Error& e) const {
  if (e.code == Code::not_found) return error(Code::not_found, cause::process_gone, parts_.self);
  return error(Code::host, cause::host_refused, parts_.self, e.sys_errno);
}

}  // namespace hive::cell
