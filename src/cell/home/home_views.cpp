// Views of tasks: invariants 13 and 14 of home.h.

#include <algorithm>
#include <bit>
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
constexpr std::uint32_t all_of_block = (1U << view_block_pages) - 1;

// Whether the page is a copy, or becomes one now.
bool is_copied(const View& view, const ViewTouch& touch) {
  const auto page = static_cast<std::uint32_t>(touch.page % view_block_pages);
  const auto copied = static_cast<std::size_t>(std::popcount(touch.copied));
  if (touch.copied > all_of_block || touch.content.size() != copied * page_bytes) return false;
  if ((touch.copied >> page & 1) != 0) return true;
  const auto block = view.blocks.find(touch.page / view_block_pages);
  return block != view.blocks.end() && block->second.frames[page] != home::none;
}

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

Result<ViewId> Home::map_view(ClientId id, std::uint64_t address, std::uint64_t bytes,
                              bool copies) {
  return insert_view(id, address, bytes, {.copies = copies});
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
    if (part.copies && view.part.file != 0 && !view.part.writable) return false;
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

void Home::find_frames_locked(ViewPages& block, std::uint32_t pages, ViewId view) {
  const auto is_wanted = [&](std::uint32_t page) {
    return page < view_block_pages && (pages >> page & 1) != 0 &&
           block.frames[page] == home::none && block.lost_with[page] < 0;
  };
  for (std::uint32_t first = 0; first < view_block_pages;) {
    std::uint32_t count = 0;
    while (is_wanted(first + count)) ++count;
    if (count == 0) {
      ++first;
      continue;
    }
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

Result<ViewBlock> Home::fault_view(ClientId id, ViewId view_id, const ViewTouch& touch) {
  Lock lock(mutex_);
  auto place = view_locked(id, view_id);
  if (!place) return fail(place.error());
  if (touch.page >= place->view->pages || place->view->part.file != 0) {
    return fail(Code::bad_argument, cause::no_view, parts_.self);
  }
  const bool copies = place->view->part.copies;
  if (copies && !is_copied(*place->view, touch)) {
    return fail(Code::bad_argument, cause::senseless_request, parts_.self);
  }
  const std::uint64_t number = touch.page / view_block_pages;
  const std::uint64_t left = place->view->pages - number * view_block_pages;
  std::uint32_t wanted = left < view_block_pages ? (1U << left) - 1 : all_of_block;
  if (copies) wanted &= touch.copied;
  const auto before = place->view->blocks[number].frames;
  const auto touched = static_cast<std::uint32_t>(touch.page % view_block_pages);
  if (auto found = find_pages(lock, {id, view_id, number}, touched, wanted); !found) {
    return fail(found.error());
  }
  place = view_locked(id, view_id);
  if (!place) return fail(place.error());
  if (copies) {
    const auto filled = fill_copies(lock, id, view_id, before, touch);
    if (!filled) return fail(filled.error());
    place = view_locked(id, view_id);
    if (!place) return fail(place.error());
  }
  const ViewBlock answer = answer_locked(place->view->blocks[number]);
  if (answer.show != 0) return answer;
  if (auto done = bring_in(lock, place->client, *place->view, number); !done) {
    return fail(done.error());
  }
  return answer;
}

// The touched page has a frame then, and those wanted for which there is one; what was away of
// them is back. Releases the lock.
Result<void> Home::find_pages(Lock& lock, const home::BlockName& name, std::uint32_t touched,
                              std::uint32_t wanted) {
  for (int i = 0; i < fault_attempts_max; ++i) {
    if (away_ != nullptr && !away_->wait_until_settled(lock, name)) break;
    const auto place = view_locked(name.client, name.view);
    if (!place) return fail(place.error());
    ViewPages& block = place->view->blocks[name.number];
    if (block.lost_with[touched] >= 0) {
      return fail(Code::lost, cause::away_lost, block.lost_with[touched]);
    }
    find_frames_locked(block, 1U << touched, name.view);
    if (block.frames[touched] == home::none) {
      const bool comes_back = block.away[touched] != home::none;
      if (auto found = last_frame(lock, comes_back)) {
        // The lock was released: the view may be gone, and the page may have a frame.
        const auto now = view_locked(name.client, name.view);
        ViewPages* const there = now ? &now->view->blocks[name.number] : nullptr;
        if (there != nullptr && there->frames[touched] == home::none &&
            there->lost_with[touched] < 0 && there->moving == 0) {
          frames_.set_owner({found->first, 1}, name.view);
          there->frames[touched] = found->first++;
          --found->count;
        }
        frames_.free_untouched(*found);
        continue;
      }
      const bool is_late = away_ != nullptr && away_->is_busy_locked();
      if (is_late || !view_locked(name.client, name.view)) continue;
      return fail(Code::exhausted, cause::no_memory, parts_.self, ENOMEM);
    }
    find_frames_locked(block, wanted, name.view);
    // Copies stay: their client says itself which of its pages are some.
    if (away_ == nullptr || place->view->part.copies) return {};
    away_->brought_in_locked(name, block);
    if (!AwayPages::is_to_fetch(block)) return {};
    if (auto done = away_->fetch(lock, name); !done) return done;
    // The lock was released.
  }
  return fail(Code::busy, cause::pages_in_use, parts_.self);
}

// Frames that pages of a view of copies have and did not have before get their content, or go
// again. Nobody has seen them yet. Releases the lock.
Result<void> Home::fill_copies(Lock& lock, ClientId id, ViewId view_id,
                               const home::BlockFrames& before, const ViewTouch& touch) {
  struct Fill {
    std::uint32_t page;
    std::uint32_t frame;
    std::span<const std::byte> content;
    PageCalls::Ticket ticket;
  };
  auto place = view_locked(id, view_id);
  if (!place) return fail(place.error());
  const std::uint64_t number = touch.page / view_block_pages;
  const ViewPages& now = place->view->blocks[number];
  std::vector<Fill> fills;
  std::size_t at = 0;
  for (std::uint32_t page = 0; page < view_block_pages; ++page) {
    if ((touch.copied >> page & 1) == 0) continue;
    const auto content = touch.content.subspan(page_bytes * at++, page_bytes);
    const std::uint32_t frame = now.frames[page];
    if (frame == before[page]) continue;
    // While it lasts the frame does not change hands.
    fills.push_back({page, frame, content, page_calls_.begin(0, {frame, 1})});
    touched_.assign({frame, 1}, true);
  }
  if (fills.empty()) return {};
  lock.unlock();
  Result<void> done;
  for (const Fill& fill : fills) {
    if (done) done = parts_.memory->write(fill.frame * page_bytes, fill.content);
  }
  lock.lock();
  for (const Fill& fill : fills) end_call_locked(fill.ticket);
  if (done) return {};
  place = view_locked(id, view_id);
  if (!place) return fail(place.error());
  for (const Fill& fill : fills) {
    std::uint32_t& frame = place->view->blocks[number].frames[fill.page];
    if (frame != fill.frame) continue;
    begin_cleaning_locked({frame, 1});
    frame = home::none;
  }
  return fail(host_error(done.error()));
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
