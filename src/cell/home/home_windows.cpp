// Windows: who may store where. Invariants 5, 6 and 7 of home.h.

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "cell/home/home.h"
#include "machine/fault_point.h"
#include "proto/causes.h"

namespace hive::cell {

namespace cause = proto::cause;
using home::WindowState;

Result<WindowId> Home::open_window(ClientId id, SegmentId segment_id, std::uint64_t first,
                                   std::uint64_t pages, WindowMode mode) {
  Lock lock(mutex_);
  auto place = settled_place(lock, id, segment_id, first, pages);
  if (!place) return fail(place.error());
  const PageRange range = place->range;
  if (mode == WindowMode::exclusive && page_calls_.any_store_on(range)) {
    // A store that is under way must not land in the middle of what the window is opened for.
    calls_done_.wait_for(lock, std::chrono::nanoseconds(page_wait_max_ns),
                         [&] { return !page_calls_.any_store_on(range); });
    place = settled_place(lock, id, segment_id, first, pages);
    if (!place) return fail(place.error());
    if (page_calls_.any_store_on(range)) return fail(Code::busy, cause::pages_in_use, parts_.self);
  }
  if (torn_.any(range)) return fail(torn_error_locked(range));
  const std::uint64_t bytes = std::uint64_t{range.count} * machine::page_bytes;
  if (place->segment->rollback) {
    if (mode == WindowMode::shared) {
      return fail(Code::bad_argument, cause::rollback_shared, parts_.self);
    }
    if (bytes > rollback_bytes_max - rollback_bytes_) {
      return fail(Code::exhausted, cause::rollback_limit, parts_.self);
    }
  }
  if (is_held_locked(*place->segment, range, mode)) {
    return fail(Code::busy, cause::window_held, parts_.self);
  }
  const auto window = insert_window_locked(*place->client, *place->segment, range, mode);
  if (!window) return fail(window.error());
  touched_.assign(range, true);
  const bool rollback = place->segment->rollback;
  const auto ticket = page_calls_.begin(id, range);
  if (rollback) {
    if (auto kept = keep_content(lock, id, *window, range); !kept) {
      end_call_locked(ticket);
      return fail(kept.error());
    }
  }
  lock.unlock();
  const auto opened = place->client->space->open(range);
  lock.lock();
  end_call_locked(ticket);
  return finish_opening(lock, place->client, *window, range, opened);
}

// Invariant 10. After an error the window is gone, and nothing was opened. A window that another
// thread took out of the table meanwhile was not torn, since it held nothing.
Result<void> Home::keep_content(Lock& lock, ClientId client, WindowId id, PageRange pages) {
  lock.unlock();
  auto content = std::make_shared<std::vector<std::byte>>(pages.count * machine::page_bytes);
  const auto read = parts_.memory->read(pages.first * machine::page_bytes, *content);
  lock.lock();
  Window* window = own_window_locked(client, id);
  if (window == nullptr) return fail(Code::not_found, cause::segment_not_open, parts_.self);
  if (read) {
    window->before = std::move(content);
    return {};
  }
  erase_window_locked(id);
  return fail(host_error(read.error()));
}

Result<WindowId> Home::finish_opening(Lock& lock, const ClientRef& client, WindowId id,
                                      PageRange pages, const Result<void>& opened) {
  Window* window = own_window_locked(client->id, id);
  if (window == nullptr) return fail(lost_locked(pages));  // torn while it was opened
  if (opened && !torn_.any(pages)) {
    window->state = WindowState::open;
    return id;
  }
  // Some of it may be open. Another holder of a shared window tore a part, or Linux refused.
  if (!opened && opened.error().code == Code::not_found) {
    finish_tear(lock, begin_tear_locked({&id, 1}));
    return fail(host_error(opened.error()));
  }
  const auto closed = close_pages(lock, client, id);
  const auto finished = finish_closing(lock, client->id, id, pages, closed);
  if (!finished) return fail(finished.error());
  HIVE_CHECK(!opened.has_value());  // else it was torn, and closing said so
  if (opened.error().code == Code::lost) return fail(lost_locked(pages));
  return fail(host_error(opened.error()));
}

Result<void> Home::commit_window(ClientId id, WindowId window_id) {
  Lock lock(mutex_);
  const auto client = client_locked(id);
  if (!client) return fail(client.error());
  Window* window = own_window_locked(id, window_id);
  if (window == nullptr || window->state != WindowState::open) {
    return fail(Code::not_found, cause::window_not_open, parts_.self);
  }
  const PageRange pages = window->pages;
  window->state = WindowState::closing;
  if (!wait_for_calls_of(lock, id, pages)) {
    if (own_window_locked(id, window_id) == nullptr) return fail(lost_locked(pages));
    // Closing would wait as long again; taking back does not.
    finish_tear(lock, begin_tear_locked({&window_id, 1}));
    return fail(lost_locked(pages));
  }
  if (own_window_locked(id, window_id) == nullptr) return fail(lost_locked(pages));
  const auto closed = close_pages(lock, *client, window_id);
  machine::fault_point(machine::FaultPoint::window_commit);
  return finish_closing(lock, id, window_id, pages, closed);
}

Result<void> Home::finish_closing(Lock& lock, ClientId client, WindowId id, PageRange pages,
                                  const Result<void>& closed) {
  if (own_window_locked(client, id) == nullptr) return fail(lost_locked(pages));
  if (!closed) {
    finish_tear(lock, begin_tear_locked({&id, 1}));
    return fail(lost_locked(pages));
  }
  erase_window_locked(id);
  if (torn_.any(pages)) return fail(lost_locked(pages));
  return {};
}

Result<void> Home::close_pages(Lock& lock, const ClientRef& client, WindowId id) {
  Window& window = windows_.at(id);
  window.state = WindowState::closing;
  const std::vector<PageRange> ranges = closable_locked(*client, window);
  const auto ticket = page_calls_.begin(client->id, window.pages);
  lock.unlock();
  Result<void> closed;
  for (const PageRange range : ranges) {
    auto done = client->space->close(range);
    if (!done && done.error().code != Code::not_found) closed = fail(host_error(done.error()));
  }
  lock.lock();
  end_call_locked(ticket);
  return closed;
}

// The pages of the window but for those that other windows of the same client have open, too.
std::vector<machine::PageRange> Home::closable_locked(const Client& client,
                                                      const Window& window) const {
  std::vector<PageRange> rest = {window.pages};
  for (const WindowId id : client.windows) {
    const Window& other = windows_.at(id);
    if (id == window.id || other.state == WindowState::closing) continue;
    if (!other.pages.overlaps(window.pages)) continue;
    std::vector<PageRange> next;
    for (const PageRange r : rest) {
      if (!r.overlaps(other.pages)) {
        next.push_back(r);
        continue;
      }
      if (r.first < other.pages.first) next.push_back({r.first, other.pages.first - r.first});
      if (other.pages.end() < r.end()) {
        next.push_back({other.pages.end(), r.end() - other.pages.end()});
      }
    }
    rest = std::move(next);
  }
  return rest;
}

Result<void> Home::abort_window(ClientId id, WindowId window_id) {
  Lock lock(mutex_);
  Window* window = own_window_locked(id, window_id);
  if (window == nullptr || window->state != WindowState::open) {
    return fail(Code::not_found, cause::window_not_open, parts_.self);
  }
  finish_tear(lock, begin_tear_locked({&window_id, 1}));
  return {};
}

Home::Tear Home::begin_tear_locked(std::span<const WindowId> ids) {
  Tear tear;
  std::vector<PageRange> ranges;
  for (const WindowId id : ids) {
    const Window& window = windows_.at(id);
    const PageRange pages = window.pages;
    if (window.rollback && window.before == nullptr) {
      erase_window_locked(id);  // not a page of it was open yet
      continue;
    }
    set_torn_locked(pages, true);
    if (window.rollback) {
      restoring_.assign(pages, true);
      tear.restores.push_back({window.segment, pages, window.before});
    }
    ranges.push_back(pages);
    erase_window_locked(id);
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const PageRange& a, const PageRange& b) { return a.first < b.first; });
  for (const PageRange range : ranges) {
    if (!tear.ranges.empty() && range.first <= tear.ranges.back().end()) {
      PageRange& last = tear.ranges.back();
      last.count = std::max(last.end(), range.end()) - last.first;
    } else {
      tear.ranges.push_back(range);
    }
  }
  for (const PageRange range : tear.ranges) {
    tear.tickets.push_back(page_calls_.begin(0, range));
    tear.pages += range.count;
  }
  return tear;
}

void Home::finish_tear(Lock& lock, const Tear& tear) {
  take_torn_back(lock, tear);
  put_torn_right(lock, tear);
}

void Home::take_torn_back(Lock& lock, const Tear& tear) {
  if (tear.ranges.empty()) return;
  lock.unlock();
  take_back(tear.ranges);
  lock.lock();
  for (const auto ticket : tear.tickets) end_call_locked(ticket);
}

void Home::put_torn_right(Lock& lock, const Tear& tear) {
  for (const Restore& what : tear.restores) restore(lock, what);
  if (!parts_.torn_news) return;
  for (const PageRange range : tear.ranges) {
    for (const PageRange torn : torn_.runs(range, true)) tell_torn_locked(torn);
  }
}

void Home::tell_torn_locked(PageRange range) const {
  for (const auto& [id, segment] : segments_) {
    if (!segment.pages.overlaps(range)) continue;
    std::vector<ClientId> clients;
    for (const auto& [client_id, client] : clients_) {
      if (client->opens.contains(id)) clients.push_back(client_id);
    }
    const std::uint32_t first = std::max(range.first, segment.pages.first);
    const std::uint32_t end = std::min(range.end(), segment.pages.end());
    parts_.torn_news(clients, segment.name,
                     std::uint64_t{first - segment.pages.first} * machine::page_bytes,
                     std::uint64_t{end - first} * machine::page_bytes);
  }
}

Result<WindowId> Home::insert_window_locked(Client& client, Segment& segment, PageRange pages,
                                            WindowMode mode) {
  if (client.windows.size() >= windows_per_client_max) {
    return fail(Code::exhausted, cause::window_limit, parts_.self);
  }
  const auto slot =
      publisher_.add_window({&client.info, segment.id, pages, mode, parts_.now()});
  if (!slot) return fail(Code::exhausted, cause::cell_window_limit, parts_.self);
  do {
    ++last_window_;
  } while (last_window_ == 0 || windows_.contains(last_window_));
  Window window;
  window.id = last_window_;
  window.client = client.id;
  window.segment = segment.id;
  window.pages = pages;
  window.mode = mode;
  window.slot = *slot;
  window.own_cell = client.info.cell == parts_.self;
  window.rollback = segment.rollback;
  if (window.rollback) rollback_bytes_ += std::uint64_t{pages.count} * machine::page_bytes;
  windows_.emplace(window.id, window);
  client.windows.push_back(window.id);
  segment.windows.push_back(window.id);
  open_pages(client.info).fetch_add(pages.count, std::memory_order_relaxed);
  return window.id;
}

void Home::erase_window_locked(WindowId id) {
  const auto at = windows_.find(id);
  HIVE_CHECK(at != windows_.end());
  const Window& window = at->second;
  publisher_.remove_window(window.slot);
  if (window.rollback) rollback_bytes_ -= std::uint64_t{window.pages.count} * machine::page_bytes;
  auto& open = window.own_cell ? root()->pages_open_own : root()->pages_open_others;
  open.fetch_sub(window.pages.count, std::memory_order_relaxed);
  std::erase(segments_.at(window.segment).windows, id);
  // A client that leaves is out of the table already.
  if (const auto client = clients_.find(window.client); client != clients_.end()) {
    std::erase(client->second->windows, id);
  }
  windows_.erase(at);
}

Home::Window* Home::own_window_locked(ClientId client, WindowId id) {
  const auto at = windows_.find(id);
  return at == windows_.end() || at->second.client != client ? nullptr : &at->second;
}

bool Home::is_held_locked(const Segment& segment, PageRange pages, WindowMode mode) const {
  for (const WindowId id : segment.windows) {
    const Window& other = windows_.at(id);
    const bool both_shared = mode == WindowMode::shared && other.mode == WindowMode::shared;
    if (!both_shared && other.pages.overlaps(pages)) return true;
  }
  return false;
}

bool Home::has_window_locked(const Segment& segment, PageRange pages) const {
  return std::any_of(segment.windows.begin(), segment.windows.end(),
                     [&](WindowId id) { return windows_.at(id).pages.overlaps(pages); });
}

}  // namespace hive::cell
