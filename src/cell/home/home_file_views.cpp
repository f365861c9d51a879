// Views of files, and who may store to a frame of the page cache: invariant 14 of home.h.

#include <algorithm>

#include "base/check.h"
#include "cell/home/home.h"
#include "proto/causes.h"

namespace hive::cell {

namespace cause = proto::cause;
using home::Opener;
using home::View;
using home::ViewPages;
using machine::page_bytes;
using proto::view_block_pages;

Result<ViewId> Home::map_file_view(ClientId client, std::uint64_t address, std::uint64_t bytes,
                                   const FilePart& part) {
  HIVE_CHECK(part.file != 0);
  return insert_view(client, address, bytes, part);
}

Result<FilePart> Home::file_part(ClientId id, ViewId view_id, std::uint64_t page) const {
  const Lock lock(mutex_);
  const auto place = view_locked(id, view_id);
  if (!place) return fail(place.error());
  const auto& [client, view] = *place;
  if (view->part.file == 0 || page >= view->pages) {
    return fail(Code::bad_argument, cause::no_view, parts_.self);
  }
  return view->part;
}

bool Home::is_opener_locked(const View& view, std::uint64_t page, std::uint32_t frame) const {
  const auto [begin, end] = openers_.equal_range(frame);
  return std::any_of(begin, end, [&](const auto& entry) {
    const Opener& opener = entry.second;
    return opener.client == view.client && opener.view == view.id && opener.page == page;
  });
}

Result<void> Home::expect_stores(ClientId id, ViewId view_id, std::uint64_t page,
                                 const HeldFrame& held) {
  const Lock lock(mutex_);
  const auto place = view_locked(id, view_id);
  if (!place) return fail(place.error());
  const auto& [client, view] = *place;
  if (!view->part.writable) {
    return fail(Code::refused, cause::store_without_window, parts_.self);
  }
  if (!frames_.holds(held.frame, held.file, held.page, held.sequence)) {
    return fail(Code::busy, cause::pages_in_use, parts_.self);
  }
  if (is_opener_locked(*view, page, held.frame)) return {};
  openers_.emplace(
      held.frame,
      Opener{id, view_id, page, view->address + page * page_bytes, client->space, held});
  open_pages(client->info).fetch_add(1, std::memory_order_relaxed);
  return {};
}

Result<ViewBlock> Home::show_file(ClientId id, ViewId view_id, std::uint64_t page,
                                  std::span<const HeldFrame> held) {
  Lock lock(mutex_);
  const auto place = view_locked(id, view_id);
  if (!place) return fail(place.error());
  const auto& [client, view] = *place;
  const std::uint64_t number = page / view_block_pages;
  const std::uint64_t first = view->part.first_page + number * view_block_pages;
  ViewPages& block = view->blocks[number];
  block.frames.fill(home::none);
  for (const HeldFrame& h : held) {
    if (h.page < first || h.page - first >= view_block_pages) continue;
    // Behind its end the addresses are not the view's.
    if (number * view_block_pages + (h.page - first) >= view->pages) continue;
    block.frames[h.page - first] = h.frame;
    block.sequences[h.page - first] = h.sequence;
  }
  const ViewBlock answer = answer_locked(block);
  if (answer.show != 0) return answer;
  if (auto done = bring_in(lock, client, *view, number); !done) return fail(done.error());
  return answer;
}

std::vector<Opener> Home::leave_frames_locked(const Client& client, const ViewId* only_of) {
  std::vector<Opener> left;
  for (auto at = openers_.begin(); at != openers_.end();) {
    const Opener& opener = at->second;
    if (opener.client != client.id || (only_of != nullptr && opener.view != *only_of)) {
      ++at;
      continue;
    }
    left.push_back(opener);
    open_pages(client.info).fetch_sub(1, std::memory_order_relaxed);
    at = openers_.erase(at);
  }
  return left;
}

void Home::forget_openers_locked(std::uint32_t frame) {
  const auto [begin, end] = openers_.equal_range(frame);
  for (auto at = begin; at != end; ++at) {
    if (const auto client = client_locked(at->second.client)) {
      open_pages((*client)->info).fetch_sub(1, std::memory_order_relaxed);
    }
  }
  openers_.erase(begin, end);
}

// They are openers no more, so no page of theirs is opened from here on but by a call under way.
Result<void> Home::close_openers(Lock& lock, std::span<const Opener> openers) {
  if (parts_.sabotage.close) return {};
  Result<void> done;
  for (const Opener& opener : openers) {
    const PageRange range{opener.held.frame, 1};
    if (!wait_for_calls_of(lock, opener.client, range)) {
      done = fail(Code::busy, cause::pages_in_use, parts_.self);
      continue;
    }
    const auto ticket = page_calls_.begin(opener.client, range);
    lock.unlock();
    const auto closed = opener.space->close_at(opener.address, 1);
    lock.lock();
    end_call_locked(ticket);
    // A process that is gone, or shows nothing there any more, stores nothing there.
    if (!closed && closed.error().code != Code::not_found) done = fail(host_error(closed.error()));
  }
  return done;
}

Result<void> Home::close_frames(std::span<const std::uint32_t> frames) {
  Lock lock(mutex_);
  std::vector<Opener> openers;
  for (const std::uint32_t frame : frames) {
    const auto [begin, end] = openers_.equal_range(frame);
    for (auto at = begin; at != end; ++at) openers.push_back(at->second);
    forget_openers_locked(frame);
  }
  auto done = close_openers(lock, openers);
  if (done) return done;
  // Who may be open still stays an opener: the page is dirty, and is closed the next time.
  for (const Opener& opener : openers) {
    const auto client = clients_.find(opener.client);
    if (client == clients_.end()) continue;
    openers_.emplace(opener.held.frame, opener);
    open_pages(client->second->info).fetch_add(1, std::memory_order_relaxed);
  }
  return done;
}

// Their process has died, or may store there for all we know.
void Home::lose_openers(Lock& lock, std::span<const Opener> openers) {
  std::vector<HeldFrame> lost;
  std::vector<PageRange> ranges;
  std::vector<PageCalls::Ticket> tickets;
  for (const Opener& opener : openers) {
    const HeldFrame& held = opener.held;
    if (!frames_.holds(held.frame, held.file, held.page, held.sequence)) continue;
    lost.push_back(held);
    ranges.push_back({held.frame, 1});
    // While it lasts the frame does not change hands.
    tickets.push_back(page_calls_.begin(0, ranges.back()));
  }
  if (lost.empty()) return;
  lock.unlock();
  if (parts_.lost_pages) parts_.lost_pages(lost);
  take_back(ranges);
  lock.lock();
  for (const auto ticket : tickets) end_call_locked(ticket);
}

}  // namespace hive::cell
