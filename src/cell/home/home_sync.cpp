// The objects of sync.h: SyncTable under the home's mutex, outcomes delivered without it.

#include <algorithm>

#include "cell/home/home.h"
#include "proto/causes.h"

namespace hive::cell {

namespace {

// Nothing waits longer, whatever was asked for.
constexpr std::uint64_t wait_max_ns = std::uint64_t{24} * 3600 * ns_per_s;

}  // namespace

std::uint64_t Home::bounded(std::uint64_t deadline_ns, std::uint64_t now) const {
  return std::min(deadline_ns, now + wait_max_ns);
}

Result<ObjectId> Home::open_object(ClientId id, SegmentId segment_id, proto::SyncKind kind,
                                   std::string_view name, std::uint64_t parameter) {
  const Lock lock(mutex_);
  const auto client = client_locked(id);
  if (!client) return fail(client.error());
  const auto segment = segment_locked(**client, segment_id);
  if (!segment) return fail(segment.error());
  return sync_.open(id, segment_id, kind, name, parameter);
}

Result<std::uint64_t> Home::counter_add(ClientId client, ObjectId object, std::uint64_t delta) {
  const Lock lock(mutex_);
  return sync_.add(client, object, delta);
}

void Home::barrier_arrive(ClientId client, ObjectId object, std::uint64_t deadline_ns,
                          SyncDone done) {
  Outcomes out;
  {
    const Lock lock(mutex_);
    const std::uint64_t now = parts_.now();
    sync_.arrive(object, {client, bounded(deadline_ns, now), std::move(done)}, now, out);
  }
  out.deliver();
}

Result<void> Home::barrier_reset(ClientId client, ObjectId object, std::uint64_t parties) {
  const Lock lock(mutex_);
  return sync_.reset_barrier(client, object, parties);
}

void Home::queue_take(ClientId client, ObjectId object, std::uint64_t deadline_ns, SyncDone done) {
  Outcomes out;
  {
    const Lock lock(mutex_);
    const std::uint64_t now = parts_.now();
    sync_.take(object, {client, bounded(deadline_ns, now), std::move(done)}, now, out);
  }
  out.deliver();
}

Result<void> Home::queue_done(ClientId client, ObjectId object, std::uint64_t item) {
  Outcomes out;
  Result<void> done;
  {
    const Lock lock(mutex_);
    done = sync_.finish(client, object, item, out);
  }
  out.deliver();
  return done;
}

void Home::queue_next(ClientId client, ObjectId object, std::uint64_t done_item,
                      std::uint64_t deadline_ns, SyncDone done) {
  const auto finished = queue_done(client, object, done_item);
  if (finished) {
    queue_take(client, object, deadline_ns, std::move(done));
  } else if (done) {
    done(fail(finished.error()));
  }
}

Result<QueueProgress> Home::queue_progress(ClientId client, ObjectId object) const {
  const Lock lock(mutex_);
  return sync_.progress(client, object);
}

void Home::on_tick(std::uint64_t now_ns) {
  Outcomes out;
  {
    const Lock lock(mutex_);
    sync_.on_tick(now_ns, out);
  }
  out.deliver();
}

}  // namespace hive::cell
