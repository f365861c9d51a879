// Views of tasks: invariants 13 and 14 of home.h.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cell/home/away_pages.h"
#include "cell/home/home.h"
#include "proto/causes.h"

namespace hive::cell {

namespace cause = proto::cause;
using home::ShownRun;
using home::View;
using home::ViewPages;
using machine::page_bytes;
using proto::view_block_pages;

namespace {

constexpr int fault_attempts_max = 8;

}  // namespace

void Home::use_supply(FrameSupply* supply) {
  const Lock lock(mutex_);
  supply_ = supply;
}

Result<home::ViewPlace> Home::view_locked(ClientId id, ViewId view) const {
  const auto client = client_locked(id);
  if (!client) return fail(client.error());
  const auto found = (*client)->views.find(view);
  if (found == (*client)->views.end()) return fail(Code::not_found, cause::no_view, parts_.self);
  return home::ViewPlace{*client, &found->second};
}

Result<ViewId> Home::map_view(ClientId id, std::uint64_t address, std::uint64_t bytes) {
  return insert_view(id, address, bytes, {});
}

Result<ViewId> Home::insert_view(ClientId id, std::uint64_t address, std::uint64_t bytes,
                                 const FilePart& part) {
  const Lock lock(mutex_);
  const auto client = client_locked(id);
  if (!client) return fail(client.error());
  if (bytes == 0 || bytes % page_bytes != 0 || !parts_.layout.in_views(address, bytes)) {
    return fail(Code::bad_argument, cause::bad_size, parts_.self);
  }
  auto& views = (*client)->views;
  if (views.size() >= views_per_client_max) {
    return fail(Code::exhausted, cause::view_limit, parts_.self);
  }
  const bool is_taken = std::ranges::any_of(views, [&](const auto& other) {
    const View& view = other.second;
    return address < view.address + view.pages * page_bytes && view.address < address + bytes;
  });
  if (is_taken) return fail(Code::bad_argument, cause::senseless_request, parts_.self);
  View view;
  view.id = ++last_view_;
  view.client = id;
  view.address = address;
  view.pages = bytes / page_bytes;
  view.part = part;
  return views.emplace(view.id, std::move(view)).first->first;
}

Result<void> Home::unmap_view(ClientId id, ViewId view_id) {
  Lock lock(mutex_);
  auto place = view_locked(id, view_id);
  if (!place) return fail(place.error());
  // What it has stored stays, and is written back in time.
  const auto openers = leave_frames_locked(*place->client, &view_id);
  const auto closed = close_openers(lock, openers);
  if (!closed) lose_openers(lock, openers);
  place = view_locked(id, view_id);
  if (!place) return fail(place.error());
  drop_view_locked(*place->view);
  place->client->views.erase(view_id);
  return closed;
}

void Home::drop_view_locked(View& view) {
  for (auto& [number, block] : view.blocks) {
    if (view.part.file != 0) break;
    if (away_ != nullptr) away_->drop_locked(block);
    for (const std::uint32_t frame : block.frames) {
      if (frame != home::none) begin_cleaning_locked({frame, 1});
    }
  }
  view.blocks.clear();
}

void Home::drop_views_locked(Client& client) {
  for (auto& [id, view] : client.views) drop_view_locked(view);
  client.views.clear();
}

void Home::find_frames_locked(ViewPages& block, std::uint32_t first, std::uint32_t end,
                              ViewId view) {
  const auto has_none = [&](std::uint32_t i) {
    return block.frames[i] == home::none && block.lost_with[i] < 0;
  };
  while (first < end) {
    if (!has_none(first)) {
      ++first;
      continue;
    }
    std::uint32_t count = 1;
    while (first + count < end && has_none(first + count)) ++count;
    const auto found = frames_.take_anonymous(count, reclaimed_);
    if (!found) return;
    frames_.set_owner(*found, view);
    for (std::uint32_t i = 0; i < found->count; ++i) block.frames[first++] = found->first + i;
  }
}

// When none is free: what was freed is cleaned, then the cache gives some back, then others help,
// then other memory moves away. `comes_back`: for a page that is away.
std::optional<machine::PageRange> Home::last_frame(Lock& lock, bool comes_back) {
  const auto any_of = [this](FrameState state) { return frames_.count(state) > 0; };
  // Else a look at all frames would tell no more.
  if (any_of(FrameState::cleaning) || any_of(FrameState::cached) || any_of(FrameState::lent)) {
    for (const std::uint32_t pages : {view_block_pages, 1U}) {
      if (auto found = allocate(lock, pages, FrameState::anonymous)) return found;
    }
  }
  if (FrameSupply* const supply = supply_; supply != nullptr) {
    lock.unlock();
    const bool any = supply->make_room(view_block_pages);
    lock.lock();
    auto found = any ? allocate(lock, 1, FrameState::anonymous) : std::nullopt;
    if (found) return found;
  }
  if (away_ == nullptr || !away_->make_room(lock, comes_back)) return std::nullopt;
  return allocate(lock, 1, FrameState::anonymous);
}

// The lock was released since it was looked for: the view may be gone, or the page has a frame.
void Home::use_found_locked(const home::BlockName& name, std::uint32_t index, PageRange found) {
  if (const auto place = view_locked(name.client, name.view)) {
    ViewPages& block = place->view->blocks[name.number];
    const bool has_none = block.frames[index] == home::none && block.lost_with[index] < 0;
    if (has_none && block.moving == 0) {
      frames_.set_owner({found.first, 1}, name.view);
      block.frames[index] = found.first++;
      --found.count;
    }
  }
  frames_.free_untouched(found);
}

Result<ViewBlock> Home::fault_view(ClientId id, ViewId view_id, std::uint64_t page) {
  Lock lock(mutex_);
  const std::uint64_t number = page / view_block_pages;
  const home::BlockName name{id, view_id, number};
  for (int i = 0; i < fault_attempts_max; ++i) {
    if (away_ != nullptr && !away_->wait_until_settled(lock, name)) break;
    const auto place = view_locked(id, view_id);
    if (!place) return fail(place.error());
    if (page >= place->view->pages || place->view->part.file != 0) {
      return fail(Code::bad_argument, cause::no_view, parts_.self);
    }
    const auto touched = static_cast<std::uint32_t>(page % view_block_pages);
    ViewPages& block = place->view->blocks[number];
    if (block.lost_with[touched] >= 0) {
      return fail(Code::lost, cause::away_lost, block.lost_with[touched]);
    }
    find_frames_locked(block, touched, touched + 1, view_id);
    if (block.frames[touched] == home::none) {
      const bool comes_back = block.away[touched] != home::none;
      const auto found = last_frame(lock, comes_back);
      if (found) {
        use_found_locked(name, touched, *found);
        continue;
      }
      const bool is_late = away_ != nullptr && away_->is_busy_locked();
      if (is_late || !view_locked(id, view_id)) continue;
      return fail(Code::exhausted, cause::no_memory, parts_.self, ENOMEM);
    }
    const std::uint64_t end =
        std::min<std::uint64_t>(place->view->pages - number * view_block_pages, view_block_pages);
    find_frames_locked(block, 0, static_cast<std::uint32_t>(end), view_id);
    if (away_ != nullptr) away_->brought_in_locked(name, block);
    if (away_ != nullptr && AwayPages::is_to_fetch(block)) {
      if (auto done = away_->fetch(lock, name); !done) return fail(done.error());
      continue;  // the lock was released
    }
    const ViewBlock answer = answer_locked(block);
    if (answer.show != 0) return answer;
    auto done = bring_in(lock, place->client, *place->view, number);
    if (!done) return fail(done.error());
    return answer;
  }
  return fail(Code::busy, cause::pages_in_use, parts_.self);
}

// What the process shows from here on where it is told to show something else, it has to say.
ViewBlock Home::answer_locked(ViewPages& block) const {
  ViewBlock answer;
  block.told.fill(home::none);
  for (std::uint32_t i = 0; i < view_block_pages; ++i) {
    const std::uint32_t frame = block.frames[i];
    if (frame == home::none) continue;
    answer.frames[i] = parts_.layout.user_begin(parts_.self) + frame * page_bytes;
    if (block.shown[i] == frame) continue;
    answer.show |= 1U << i;
    block.told[i] = frame;
    block.shown[i] = home::none;
  }
  return answer;
}

Result<void> Home::give_view(ClientId id, ViewId view_id, std::uint64_t page) {
  Lock lock(mutex_);
  const auto place = view_locked(id, view_id);
  if (!place) return fail(place.error());
  const auto& [client, view] = *place;
  const std::uint64_t number = page / view_block_pages;
  const auto block = view->blocks.find(number);
  if (block == view->blocks.end()) {
    return fail(Code::bad_argument, cause::no_view, parts_.self);
  }
  if (block->second.moving != 0) return fail(Code::busy, cause::pages_in_use, parts_.self);
  for (std::uint32_t i = 0; i < view_block_pages; ++i) {
    const std::uint32_t told = std::exchange(block->second.told[i], home::none);
    if (told != home::none) block->second.shown[i] = told;
  }
  return bring_in(lock, client, *view, number);
}

std::vector<ShownRun> Home::shown_locked(const View& view, std::uint64_t number) const {
  const ViewPages& block = view.blocks.at(number);
  std::vector<ShownRun> shown;
  for (std::uint32_t i = 0; i < view_block_pages; ++i) {
    const std::uint32_t frame = block.frames[i];
    if (frame == home::none || block.shown[i] != frame) continue;
    const std::uint64_t page = number * view_block_pages + i;
    const FilePart& part = view.part;
    if (part.file != 0 && !frames_.holds(frame, part.file,
                                         part.first_page + static_cast<std::uint32_t>(page),
                                         block.sequences[i])) {
      continue;
    }
    const std::uint64_t address = view.address + page * page_bytes;
    const bool open = part.file == 0 || is_opener_locked(view, page, frame);
    if (!shown.empty() && shown.back().frames.end() == frame && shown.back().open == open &&
        shown.back().address + shown.back().frames.count * page_bytes == address) {
      ++shown.back().frames.count;
    } else {
      shown.push_back({address, {frame, 1}, open, 0});
    }
  }
  return shown;
}

// Ends with the lock held, but releases it.
Result<void> Home::bring_in(Lock& lock, const ClientRef& client, const View& view,
                            std::uint64_t number) {
  std::vector<ShownRun> shown = shown_locked(view, number);
  for (const ShownRun& run : shown) {
    if (page_calls_.any_of(client->id, run.frames)) {
      return fail(Code::busy, cause::pages_in_use, parts_.self);
    }
  }
  for (ShownRun& run : shown) {
    touched_.assign(run.frames, true);
    run.ticket = page_calls_.begin(client->id, run.frames);
  }
  lock.unlock();
  Result<void> done;
  for (const ShownRun& run : shown) {
    Result<void> there;
    if (run.open) {
      there = client->space->open_at(run.address, run.frames.count);
    } else if (auto given = client->space->give_at(run.address, run.frames.count); !given) {
      there = fail(given.error());
    }
    if (!there && done) done = fail(host_error(there.error()));
  }
  lock.lock();
  for (const ShownRun& run : shown) end_call_locked(run.ticket);
  return done;
}

}  // namespace hive::cell
