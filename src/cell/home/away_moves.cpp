// How memory moves away, comes back, and changes its lender: away_pages.h.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/time.h"
#include "cell/home/away_pages.h"
#include "proto/causes.h"

namespace hive::cell {

namespace cause = proto::cause;
using home::Client;
using home::ShownRun;
using home::ViewPages;
using machine::page_bytes;
using proto::view_block_pages;

namespace {

// Each moves a block that nobody else takes, or has other cells asked.
constexpr int room_attempts_max = 8;
constexpr int elsewhere_attempts_max = 4;
// Of one recall. The lender waits for a second, and then it takes what is still there.
constexpr std::uint64_t reclaim_max_ns = 10 * ns_per_s;

std::uint32_t bit(std::uint32_t index) { return std::uint32_t{1} << index; }

}  // namespace

// --- what all moves have in common --------------------------------------------------------------

void AwayPages::begin_locked(const Block& name, ViewPages& block, std::span<const Move> moves) {
  for (const Move& move : moves) {
    block.moving |= bit(move.index);
    if (is_borrowed(move.to)) book_[move.to] = {name, move.index};
  }
  ++movers_;
}

// Of pages that nobody has, into frames that nobody else has. Returns those that were not copied.
std::uint32_t AwayPages::carry(Lock& lock, const Block& name, ViewPages& block,
                               std::span<const Move> moves) {
  begin_locked(name, block, moves);
  std::vector<PageCalls::Ticket> tickets;
  for (const Move& move : moves) {
    if (is_borrowed(move.to)) continue;
    tickets.push_back(home_.page_calls_.begin(0, {move.to, 1}, true));
  }
  lock.unlock();
  const std::uint32_t failed = copy(moves);
  lock.lock();
  for (const auto ticket : tickets) home_.end_call_locked(ticket);
  return failed;
}

// Returns those that were not copied, a bit for each page of the block.
std::uint32_t AwayPages::copy(std::span<const Move> moves) const {
  std::vector<std::byte> buffer(moves.size() * page_bytes);
  std::uint32_t failed = 0;
  for (std::size_t i = 0; i < moves.size();) {
    std::size_t end = i + 1;
    while (end < moves.size() && moves[end].from == moves[i].from + (end - i) &&
           moves[end].to == moves[i].to + (end - i)) {
      ++end;
    }
    if (!copy_run(moves.subspan(i, end - i), buffer)) {
      // What is lost with one lender is not lost with another one, whose frames are beside.
      for (std::size_t k = i; k < end; ++k) {
        if (!copy_run(moves.subspan(k, 1), buffer)) failed |= bit(moves[k].index);
      }
    }
    i = end;
  }
  return failed;
}

bool AwayPages::copy_run(std::span<const Move> moves, std::vector<std::byte>& buffer) const {
  const auto bytes = std::span(buffer).first(moves.size() * page_bytes);
  FrameMemory& own = *home_.parts_.memory;
  const std::uint64_t from = moves[0].from * page_bytes;
  const std::uint64_t to = moves[0].to * page_bytes;
  const auto read = is_borrowed(moves[0].from) ? frames_.read_frames(from, bytes)
                                               : own.read(from, bytes);
  if (!read) return false;
  const auto written = is_borrowed(moves[0].to) ? frames_.write_frames(to, bytes)
                                                : own.write(to, bytes);
  return written.has_value();
}

// `recalled`: the frames that they leave go back to their lenders. Errors: not_found (the view is
// gone, and its frames are being cleaned), host.
Result<void> AwayPages::end_locked(const Block& name, std::span<const Move> moves,
                                   std::uint32_t failed, bool recalled) {
  ViewPages* const block = find_locked(name);
  Result<void> done;
  for (const Move& move : moves) {
    const bool is_good = (failed & bit(move.index)) == 0;
    if (block == nullptr) {
      for (const std::uint32_t frame : {move.from, move.to}) {
        if (!is_borrowed(frame)) continue;
        book_.erase(frame);
        put_idle_locked(frame);
      }
      done = fail(Code::not_found, cause::no_view, home_.parts_.self);
      continue;
    }
    block->moving &= ~bit(move.index);
    if (is_good && is_borrowed(move.from)) {
      book_.erase(move.from);
      if (recalled) {
        give_back_locked(move.from);
      } else {
        put_idle_locked(move.from);
      }
      block->away[move.index] = home::none;
    }
    if (is_good && is_borrowed(move.to)) {
      block->frames[move.index] = block->shown[move.index] = home::none;
      block->away[move.index] = move.to;
      if (frames_.is_lost(move.to)) lose_page_locked(*block, move.index, move.to);
    }
    if (is_good) continue;
    if (is_borrowed(move.to)) {
      book_.erase(move.to);
      put_idle_locked(move.to);
    } else {
      block->frames[move.index] = home::none;
      home_.begin_cleaning_locked({move.to, 1});
    }
    if (!is_borrowed(move.from)) continue;
    if (frames_.is_lost(move.from)) {
      lose_page_locked(*block, move.index, move.from);
    } else {
      done = fail(Code::host, cause::host_refused, home_.parts_.self);
    }
  }
  if (block != nullptr) brought_in_locked(name, *block);
  --movers_;
  release_if_idle_locked();
  home_.calls_done_.notify_all();
  return done;
}

// --- away ---------------------------------------------------------------------------------------

bool AwayPages::make_room() {
  Lock lock(home_.mutex_);
  return make_room(lock, false);
}

bool AwayPages::make_room(Lock& lock, bool comes_back) {
  for (int i = 0; i < room_attempts_max; ++i) {
    const auto name = next_locked();
    if (!name) return false;
    const auto count = static_cast<std::size_t>(std::ranges::count_if(
        find_locked(*name)->frames, [](auto frame) { return frame != home::none; }));
    const auto slots = take_slots_locked(count, comes_back);
    if (slots.empty()) {
      lock.unlock();
      const bool any = frames_.borrow_more();
      lock.lock();
      if (!any) {
        release_if_idle_locked();
        return false;
      }
      continue;
    }
    if (move_away(lock, *name, slots)) return true;
  }
  return false;
}

bool AwayPages::move_away(Lock& lock, const Block& name, std::span<const std::uint32_t> slots) {
  const auto place = home_.view_locked(name.client, name.view);
  HIVE_CHECK(place);
  const auto client = place->client;
  ViewPages& block = place->view->blocks.at(name.number);
  std::vector<Move> moves;
  std::vector<ShownRun> runs;
  for (std::uint32_t i = 0; i < view_block_pages && moves.size() < slots.size(); ++i) {
    const std::uint32_t frame = block.frames[i];
    if (frame == home::none) continue;
    const std::uint64_t address =
        place->view->address + (name.number * view_block_pages + i) * page_bytes;
    const bool open = block.shown[i] == frame;
    const bool is_next = !runs.empty() && runs.back().frames.end() == frame &&
                         runs.back().open == open && moves.back().index + 1 == i;
    if (!is_next) runs.push_back({address, {frame, 0}, open, 0});
    ++runs.back().frames.count;
    moves.push_back({i, frame, slots[moves.size()]});
  }
  for (std::size_t i = moves.size(); i < slots.size(); ++i) put_idle_locked(slots[i]);
  leave_turn_locked(block);
  begin_locked(name, block, moves);
  std::uint32_t failed = ~std::uint32_t{0};
  std::vector<Run> left;
  bool is_settled = true;
  for (const ShownRun& run : runs) {
    is_settled = is_settled && home_.wait_for_calls(lock, run.frames);
  }
  if (is_settled && find_locked(name) != nullptr) {
    for (ShownRun& run : runs) run.ticket = home_.page_calls_.begin(name.client, run.frames);
    const auto spaces = home_.spaces_locked();
    lock.unlock();
    if (close_pages(*client, runs)) failed = copy(moves);
    for (const Move& move : moves) {
      if ((failed & bit(move.index)) != 0) continue;
      if (left.empty() || left.back().frames.end() != move.from) left.push_back({{move.from, 0}});
      ++left.back().frames.count;
    }
    renew(left, spaces);
    lock.lock();
    for (const ShownRun& run : runs) home_.end_call_locked(run.ticket);
  }
  const bool is_there = find_locked(name) != nullptr;
  (void)end_locked(name, moves, failed, false);
  if (!is_there) return true;  // and so are its frames free in a moment
  for (const Run& run : left) {
    counts_.moved_away += run.frames.count;
    if (run.renewed) {
      home_.touched_.assign(run.frames, false);
      home_.frames_.free_untouched(run.frames);
    } else {
      home_.begin_cleaning_locked(run.frames);
    }
  }
  return !left.empty();
}

// False: some may be open still.
bool AwayPages::close_pages(const Client& client, std::span<const ShownRun> runs) const {
  for (const ShownRun& run : runs) {
    if (!run.open || rules_.skip_closing) continue;
    const auto closed = client.space->close_at(run.address, run.frames.count);
    // A process that is gone, or shows nothing there any more, stores nothing there.
    if (!closed && closed.error().code != Code::not_found) return false;
  }
  return true;
}

// Nobody has them any more afterwards, and they are as new, unless the host has no memory.
void AwayPages::renew(std::span<Run> runs,
                      std::span<const std::shared_ptr<ClientSpace>> spaces) const {
  for (Run& run : runs) {
    if (rules_.skip_punch) {
      run.renewed = true;
      continue;
    }
    home_.take_back({&run.frames, 1});
    for (const auto& space : spaces) space->forget(run.frames);
    run.renewed = home_.refill(run.frames).has_value();
  }
}

// --- back ---------------------------------------------------------------------------------------

Result<void> AwayPages::fetch(Lock& lock, const Block& name) {
  ViewPages* const block = find_locked(name);
  if (block == nullptr) return fail(Code::not_found, cause::no_view, home_.parts_.self);
  std::vector<Move> moves;
  for (std::uint32_t i = 0; i < view_block_pages; ++i) {
    const bool is_moving = (block->moving >> i & 1) != 0;
    if (block->frames[i] == home::none || block->away[i] == home::none || is_moving) continue;
    moves.push_back({i, block->away[i], block->frames[i]});
  }
  if (moves.empty()) return {};
  const std::uint32_t failed = carry(lock, name, *block, moves);
  counts_.came_back += static_cast<std::uint64_t>(std::ranges::count_if(
      moves, [failed](const Move& move) { return (failed & bit(move.index)) == 0; }));
  return end_locked(name, moves, failed, false);
}

// --- recalls ------------------------------------------------------------------------------------

bool AwayPages::reclaim(PageRange range) {
  const std::uint64_t deadline = now_ns() + reclaim_max_ns;
  Lock lock(home_.mutex_);
  give_idle_back_locked(range);
  for (std::uint32_t next = range.first; now_ns() < deadline;) {
    const auto at = book_.lower_bound(next);
    if (at == book_.end() || at->first >= range.end()) break;
    const std::uint32_t slot = at->first;
    const Block name = at->second.block;
    if (!move_elsewhere(lock, name, range, slot)) next = slot + 1;
  }
  give_idle_back_locked(range);  // what others have left since
  return book_.lower_bound(range.first) == book_.lower_bound(range.end());
}

void AwayPages::give_idle_back_locked(PageRange range) {
  for (auto at = idle_.lower_bound(range.first); at != idle_.end() && *at < range.end();) {
    const std::uint32_t slot = *at;
    at = idle_.erase(at);
    give_back_locked(slot);
  }
}

// Pages of the block that are in recalled frames, at least the one that is wanted. False: there is
// no place for them.
bool AwayPages::move_elsewhere(Lock& lock, const Block& name, PageRange recalled,
                               std::uint32_t wanted) {
  for (int i = 0; i < elsewhere_attempts_max; ++i) {
    if (!wait_until_settled(lock, name)) return false;
    ViewPages* const block = find_locked(name);
    if (!book_.contains(wanted)) return true;
    if (block == nullptr) return false;  // whoever moves it just now gives it back
    if (home_.frames_.count(FrameState::free) < view_block_pages) home_.clean_up_locked(lock);
    // The lock was released.
    if (find_locked(name) != block || block->moving != 0 || !book_.contains(wanted)) continue;
    std::vector<Move> moves;
    for (std::uint32_t k = 0; k < view_block_pages; ++k) {
      if (block->away[k] == home::none || !recalled.contains(block->away[k])) continue;
      home_.find_frames_locked(*block, bit(k), name.view);
      std::uint32_t to = block->frames[k];
      if (to == home::none) {
        const auto slot = take_slot_locked(frames_.place_of(block->away[k]).home);
        if (!slot) break;
        to = *slot;
      }
      moves.push_back({k, block->away[k], to});
    }
    if (!moves.empty()) {
      const std::uint32_t failed = carry(lock, name, *block, moves);
      (void)end_locked(name, moves, failed, true);
      continue;
    }
    lock.unlock();
    const bool any = frames_.borrow_more();
    lock.lock();
    if (any) continue;
    // The cache has frames perhaps.
    if (const auto found = home_.allocate(lock, 1, FrameState::anonymous)) {
      home_.frames_.free_untouched(*found);
    } else {
      return false;
    }
  }
  return !book_.contains(wanted);
}

}  // namespace hive::cell
