#include <algorithm>

#include "base/check.h"
#include "cell/home/home.h"
#include "proto/causes.h"

namespace hive::cell {

namespace cause = proto::cause;
using machine::page_bytes;

namespace {

SegmentView view_of(const home::Segment& segment) {
  return {segment.id, segment.pages, reinterpret_cast<std::uint64_t>(&segment.record->losses)};
}

}  // namespace

Result<Home::Segment*> Home::segment_locked(const Client& client, SegmentId id) {
  if (!client.opens.contains(id)) {
    return fail(Code::not_found, cause::segment_not_open, parts_.self);
  }
  return &segments_.at(id);
}

Home::Segment* Home::segment_at_locked(std::uint32_t page) {
  auto at = by_page_.upper_bound(page);
  if (at == by_page_.begin()) return nullptr;
  Segment& segment = segments_.at(std::prev(at)->second);
  return segment.pages.contains(page) ? &segment : nullptr;
}

Result<Home::Place> Home::place_locked(ClientId id, SegmentId segment_id, std::uint64_t first,
                                       std::uint64_t pages) {
  auto client = client_locked(id);
  if (!client) return fail(client.error());
  const auto segment = segment_locked(**client, segment_id);
  if (!segment) return fail(segment.error());
  const PageRange whole = (*segment)->pages;
  if (pages == 0 || first >= whole.count || pages > whole.count - first) {
    return fail(Code::bad_argument, cause::outside_segment, parts_.self);
  }
  const PageRange range{whole.first + static_cast<std::uint32_t>(first),
                        static_cast<std::uint32_t>(pages)};
  return Place{std::move(*client), *segment, range};
}

Result<Home::Place> Home::settled_place(Lock& lock, ClientId id, SegmentId segment_id,
                                        std::uint64_t first, std::uint64_t pages) {
  auto place = place_locked(id, segment_id, first, pages);
  if (!place) return place;
  const PageRange range = place->range;
  // Who is told that they are lost must not read there any more what was left half done.
  const bool taken_back_now = torn_.any(range) && page_calls_.any_of(0, range);
  if (!taken_back_now && !page_calls_.any_of(id, range)) return place;
  if (!wait_for_calls_of(lock, id, range) || !wait_for_calls_of(lock, 0, range)) {
    return fail(Code::busy, cause::pages_in_use, parts_.self);
  }
  return place_locked(id, segment_id, first, pages);  // it may be gone
}

bool Home::has_segment(std::string_view name) const {
  const Lock lock(mutex_);
  return names_.contains(name);
}

Result<void> Home::check_create(std::string_view name, std::uint64_t bytes) const {
  if (!is_valid_name(name, segment_name_max)) {
    return fail(Code::bad_argument, cause::bad_name, parts_.self);
  }
  if (bytes == 0 || bytes > parts_.layout.user_bytes) {
    return fail(Code::bad_argument, cause::bad_size, parts_.self);
  }
  if (has_segment(name)) return fail(Code::exists, cause::name_taken, parts_.self);
  return {};
}

Result<SegmentView> Home::create_segment(ClientId id, std::string_view name, std::uint64_t bytes,
                                         bool keep, bool rollback) {
  if (auto sound = check_create(name, bytes); !sound) return fail(sound.error());
  Lock lock(mutex_);
  const auto count = static_cast<std::uint32_t>((bytes + page_bytes - 1) / page_bytes);
  const auto pages = allocate(lock, count, FrameState::segment);
  if (!pages) return fail(Code::exhausted, cause::no_room, parts_.self);
  const auto refuse = [&](Code code, const char* why) {
    frames_.free_untouched(*pages);  // nobody was given any of it
    return fail(code, why, parts_.self);
  };
  const auto client = client_locked(id);
  if (!client) return refuse(Code::not_found, cause::not_a_task);
  if (names_.contains(name)) return refuse(Code::exists, cause::name_taken);
  if (segments_.size() >= segments_max) return refuse(Code::exhausted, cause::segment_limit);
  SegmentRecord* record = publisher_.add_segment(name, last_segment_ + 1, *pages, keep);
  if (record == nullptr) return refuse(Code::exhausted, cause::segment_limit);

  Segment& segment = segments_[++last_segment_];
  segment.id = last_segment_;
  segment.name = name;
  segment.pages = *pages;
  segment.keep = keep;
  segment.rollback = rollback;
  segment.clients = 1;
  segment.record = record;
  record->clients.store(1, std::memory_order_relaxed);
  names_.emplace(segment.name, segment.id);
  by_page_.emplace(pages->first, segment.id);
  (*client)->opens[segment.id] = 1;
  frames_.set_owner(*pages, segment.id);
  return view_of(segment);
}

Result<SegmentView> Home::open_segment(ClientId id, std::string_view name) {
  const Lock lock(mutex_);
  const auto client = client_locked(id);
  if (!client) return fail(client.error());
  const auto named = names_.find(name);
  if (named == names_.end()) return fail(Code::not_found, cause::no_such_name, parts_.self);
  Segment& segment = segments_.at(named->second);
  std::uint32_t& opens = (*client)->opens[segment.id];
  if (opens >= opens_per_client_max) return fail(Code::exhausted, cause::open_limit, parts_.self);
  if (opens++ == 0) segment.record->clients.store(++segment.clients, std::memory_order_relaxed);
  return view_of(segment);
}

Result<void> Home::close_segment(ClientId id, SegmentId segment_id) {
  Outcomes out;
  Lock lock(mutex_);
  const auto client = client_locked(id);
  if (!client) return fail(client.error());
  const auto segment = segment_locked(**client, segment_id);
  if (!segment) return fail(segment.error());
  std::uint32_t& opens = (*client)->opens.at(segment_id);
  if (opens > 1) {
    --opens;
    return {};
  }
  std::vector<WindowId> windows;
  for (const WindowId window : (*client)->windows) {
    if (windows_.at(window).segment == segment_id) windows.push_back(window);
  }
  const Tear tear = begin_tear_locked(windows);
  sync_.leave_segment(id, segment_id, out);
  const auto locks = leave_locks_locked(*client, &segment_id);
  // A copy, which keeps it alive. NOLINTNEXTLINE(performance-unnecessary-copy-initialization)
  const ClientRef keep = *client;
  drop_open_locked(*keep, **segment, out);
  finish_tear(lock, tear);
  close_lock_pages(lock, locks);
  settle_locks(lock, locks);
  lock.unlock();
  out.deliver();
  return {};
}

Result<void> Home::destroy_segment(ClientId id, SegmentId segment_id) {
  const Lock lock(mutex_);
  const auto client = client_locked(id);
  if (!client) return fail(client.error());
  const auto found = segment_locked(**client, segment_id);
  if (!found) return fail(found.error());
  Segment& segment = **found;
  if (segment.destroyed) return {};
  segment.destroyed = true;
  segment.keep = false;
  names_.erase(segment.name);
  segment.record->state.store(SegmentState::destroyed, std::memory_order_release);
  return {};
}

void Home::drop_open_locked(Client& client, Segment& segment, Outcomes& out) {
  client.opens.erase(segment.id);
  HIVE_CHECK(segment.clients > 0);
  segment.record->clients.store(--segment.clients, std::memory_order_relaxed);
  if (segment.clients == 0 && !segment.keep) forget_segment_locked(segment, out);
}

void Home::forget_segment_locked(Segment& segment, Outcomes& out) {
  HIVE_CHECK(segment.windows.empty());
  sync_.remove_segment(segment.id, out);
  remove_locks_locked(segment.id);
  publisher_.remove_segment(segment.record);
  if (!segment.destroyed) names_.erase(segment.name);
  by_page_.erase(segment.pages.first);
  const PageRange pages = segment.pages;
  segments_.erase(segment.id);

  root()->pages_torn.fetch_sub(torn_.assign(pages, false), std::memory_order_relaxed);
  restoring_.assign(pages, false);
  for (const PageRange clean : touched_.runs(pages, false)) frames_.free_untouched(clean);
  for (const PageRange used : touched_.runs(pages, true)) begin_cleaning_locked(used);
}

}  // namespace hive::cell
