#include "cell/home/sync_table.h"

#include <algorithm>

namespace hive::cell {

namespace cause = proto::cause;
using proto::SyncKind;

namespace {

bool is_valid_parameter(SyncKind kind, std::uint64_t parameter) {
  switch (kind) {
    case SyncKind::counter: return true;
    case SyncKind::barrier: return parameter > 0 && parameter <= barrier_parties_max;
    case SyncKind::queue: return parameter < QueueState::empty;
  }
  return false;
}

}  // namespace

Result<ObjectId> SyncTable::open(ClientId client, SegmentId segment, SyncKind kind,
                                 std::string_view name, std::uint64_t parameter) {
  if (!is_valid_name(name, object_name_max)) return fail(Code::bad_argument, cause::object_name);
  if (!is_valid_parameter(kind, parameter)) {
    return fail(Code::bad_argument, cause::senseless_request);
  }
  const auto key = std::pair(segment, std::string(name));
  if (const auto known = names_.find(key); known != names_.end()) {
    Object& object = objects_.at(known->second);
    if (object.kind != kind || object.parameter != parameter) {
      return fail(Code::refused, cause::object_differs);
    }
    object.openers.insert(client);
    return known->second;
  }
  if (objects_.size() >= objects_max) return fail(Code::exhausted, cause::object_limit);
  Object object;
  object.segment = segment;
  object.name = key.second;
  object.kind = kind;
  object.parameter = parameter;
  object.openers.insert(client);
  if (kind == SyncKind::barrier) object.state.emplace<BarrierState>(parameter);
  if (kind == SyncKind::queue) object.state.emplace<QueueState>(parameter);
  const ObjectId id = next_id();
  objects_.emplace(id, std::move(object));
  names_.emplace(key, id);
  return id;
}

ObjectId SyncTable::next_id() {
  do {
    ++last_id_;
  } while (last_id_ == 0 || objects_.contains(last_id_));
  return last_id_;
}

template <class State>
State* SyncTable::find(ClientId client, ObjectId object) {
  const auto at = objects_.find(object);
  if (at == objects_.end() || !at->second.openers.contains(client)) return nullptr;
  return std::get_if<State>(&at->second.state);
}

Result<std::uint64_t> SyncTable::add(ClientId client, ObjectId object, std::uint64_t delta) {
  Counter* counter = find<Counter>(client, object);
  if (counter == nullptr) return fail(Code::not_found, cause::no_such_object);
  const std::uint64_t before = *counter;
  *counter += delta;
  return before;
}

bool SyncTable::has_room_to_wait(Waiter& waiter, Outcomes& out) {
  if (waiting_ < waits_max) return true;
  waiting_ = 0;
  for (const auto& [id, object] : objects_) {
    if (const auto* barrier = std::get_if<BarrierState>(&object.state)) {
      waiting_ += barrier->waiting();
    } else if (const auto* queue = std::get_if<QueueState>(&object.state)) {
      waiting_ += queue->waiting();
    }
  }
  if (waiting_ < waits_max) return true;
  out.add_failure(std::move(waiter.done), Code::exhausted, cause::too_many_waiting);
  return false;
}

void SyncTable::note_deadline(std::uint64_t deadline_ns) {
  ++waiting_;
  next_look_ns_ = std::min(next_look_ns_, deadline_ns);
}

void SyncTable::arrive(ObjectId object, Waiter waiter, std::uint64_t now_ns, Outcomes& out) {
  BarrierState* barrier = find<BarrierState>(waiter.client, object);
  if (barrier == nullptr) {
    out.add_failure(std::move(waiter.done), Code::not_found, cause::no_such_object);
    return;
  }
  if (!has_room_to_wait(waiter, out)) return;
  const std::size_t before = barrier->waiting();
  const std::uint64_t deadline_ns = waiter.deadline_ns;
  barrier->arrive(std::move(waiter), now_ns, out);
  if (barrier->waiting() > before) note_deadline(deadline_ns);
}

Result<void> SyncTable::reset_barrier(ClientId client, ObjectId object, std::uint64_t parties) {
  BarrierState* barrier = find<BarrierState>(client, object);
  if (barrier == nullptr) return fail(Code::not_found, cause::no_such_object);
  if (!is_valid_parameter(SyncKind::barrier, parties)) {
    return fail(Code::bad_argument, cause::senseless_request);
  }
  auto done = barrier->reset(parties);
  if (done) objects_.at(object).parameter = parties;
  return done;
}

void SyncTable::take(ObjectId object, Waiter waiter, std::uint64_t now_ns, Outcomes& out) {
  QueueState* queue = find<QueueState>(waiter.client, object);
  if (queue == nullptr) {
    out.add_failure(std::move(waiter.done), Code::not_found, cause::no_such_object);
    return;
  }
  if (!has_room_to_wait(waiter, out)) return;
  const std::size_t before = queue->waiting();
  const std::uint64_t deadline_ns = waiter.deadline_ns;
  queue->take(std::move(waiter), now_ns, out);
  if (queue->waiting() > before) note_deadline(deadline_ns);
}

Result<void> SyncTable::finish(ClientId client, ObjectId object, std::uint64_t item,
                               Outcomes& out) {
  QueueState* queue = find<QueueState>(client, object);
  if (queue == nullptr) return fail(Code::not_found, cause::no_such_object);
  return queue->finish(client, item, out);
}

Result<QueueProgress> SyncTable::progress(ClientId client, ObjectId object) const {
  const auto at = objects_.find(object);
  if (at == objects_.end() || !at->second.openers.contains(client)) {
    return fail(Code::not_found, cause::no_such_object);
  }
  const auto* queue = std::get_if<QueueState>(&at->second.state);
  if (queue == nullptr) return fail(Code::not_found, cause::no_such_object);
  return queue->progress();
}

void SyncTable::on_tick(std::uint64_t now_ns, Outcomes& out) {
  if (now_ns < next_look_ns_) return;
  next_look_ns_ = no_deadline;
  waiting_ = 0;
  const auto look = [&](auto& state) {
    state.expire(now_ns, out);
    next_look_ns_ = std::min(next_look_ns_, state.next_deadline());
    waiting_ += state.waiting();
  };
  for (auto& [id, object] : objects_) {
    if (auto* barrier = std::get_if<BarrierState>(&object.state)) look(*barrier);
    if (auto* queue = std::get_if<QueueState>(&object.state)) look(*queue);
  }
}

void SyncTable::leave_object(Object& object, ClientId client, bool died, Outcomes& out) {
  if (object.openers.erase(client) == 0) return;
  if (auto* barrier = std::get_if<BarrierState>(&object.state)) barrier->leave(client, died, out);
  if (auto* queue = std::get_if<QueueState>(&object.state)) queue->return_leases(client, out);
}

void SyncTable::leave(std::span<const ClientId> clients, bool died, Outcomes& out) {
  for (auto& [id, object] : objects_) {
    if (auto* queue = std::get_if<QueueState>(&object.state)) {
      for (const ClientId client : clients) queue->end_calls(client, out);
    }
    for (const ClientId client : clients) leave_object(object, client, died, out);
  }
}

void SyncTable::leave_segment(ClientId client, SegmentId segment, Outcomes& out) {
  for (auto& [id, object] : objects_) {
    if (object.segment != segment) continue;
    if (auto* queue = std::get_if<QueueState>(&object.state)) queue->end_calls(client, out);
    leave_object(object, client, false, out);
  }
}

void SyncTable::remove_segment(SegmentId segment, Outcomes& out) {
  for (auto at = objects_.begin(); at != objects_.end();) {
    Object& object = at->second;
    if (object.segment != segment) {
      ++at;
      continue;
    }
    if (auto* barrier = std::get_if<BarrierState>(&object.state)) barrier->close(out);
    if (auto* queue = std::get_if<QueueState>(&object.state)) queue->close(out);
    names_.erase(std::pair(segment, object.name));
    at = objects_.erase(at);
  }
}

}  // namespace hive::cell
