// Stores that the home makes for a client: one round trip, nothing opened, never half done.

#include "cell/home/home.h"
#include "proto/causes.h"

namespace hive::cell {

namespace cause = proto::cause;
using machine::page_bytes;

Result<void> Home::store(ClientId id, SegmentId segment_id, std::uint64_t offset,
                         std::span<const std::byte> bytes) {
  if (bytes.empty() || bytes.size() > store_bytes_max) {
    return fail(Code::bad_argument, cause::senseless_request, parts_.self);
  }
  const std::uint64_t pages = (offset % page_bytes + bytes.size() + page_bytes - 1) / page_bytes;
  Lock lock(mutex_);
  const auto place = settled_place(lock, id, segment_id, offset / page_bytes, pages);
  if (!place) return fail(place.error());
  const PageRange range = place->range;
  if (torn_.any(range)) return fail(torn_error_locked(range));
  for (const WindowId window_id : place->segment->windows) {
    const Window& window = windows_.at(window_id);
    const bool in_the_way = window.client != id && window.mode == WindowMode::exclusive;
    if (in_the_way && window.pages.overlaps(range)) {
      return fail(Code::busy, cause::window_held, parts_.self);
    }
  }
  touched_.assign(range, true);
  const auto ticket = page_calls_.begin(id, range, true);
  lock.unlock();
  const auto written =
      parts_.memory->write(range.first * page_bytes + offset % page_bytes, bytes);
  lock.lock();
  Result<void> outcome;
  if (!written) outcome = fail(host_error(written.error()));
  if (torn_.any(range)) {
    // A shared window there was torn meanwhile: what we wrote into the hole must not stay, since
    // its pages are to have nothing but zeros when they are used again.
    outcome = fail(torn_error_locked(range));
    const std::vector<PageRange> torn = torn_.runs(range, true);
    lock.unlock();
    take_back(torn);
    lock.lock();
  }
  end_call_locked(ticket);
  return outcome;
}

}  // namespace hive::cell
