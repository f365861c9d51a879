// The objects of sync.h that this home keeps: counters, barriers and work queues, in the kernel's
// private memory. Knows who has opened which, and what to do when one of them goes.
//
// Not thread-safe: every call under the home's mutex. Outcomes of calls that waited are collected
// and delivered by the caller without the mutex.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "cell/home/barrier_state.h"
#include "cell/home/queue_state.h"
#include "proto/gate.h"

namespace hive::cell {

class SyncTable {
 public:
  // Opens the object of that name in the segment, or makes it. Errors: bad_argument (name, kind or
  // parameter), refused (it exists with others), exhausted.
  Result<ObjectId> open(ClientId client, SegmentId segment, proto::SyncKind kind,
                        std::string_view name, std::uint64_t parameter);

  // Errors of all that follow: not_found (the client has opened no such object).
  Result<std::uint64_t> add(ClientId client, ObjectId object, std::uint64_t delta);
  void arrive(ObjectId object, Waiter waiter, std::uint64_t now_ns, Outcomes& out);
  Result<void> reset_barrier(ClientId client, ObjectId object, std::uint64_t parties);
  void take(ObjectId object, Waiter waiter, std::uint64_t now_ns, Outcomes& out);
  Result<void> finish(ClientId client, ObjectId object, std::uint64_t item, Outcomes& out);
  Result<QueueProgress> progress(ClientId client, ObjectId object) const;

  void on_tick(std::uint64_t now_ns, Outcomes& out);
  // These clients go, all at once.
  void leave(std::span<const ClientId> clients, bool died, Outcomes& out);
  // One client has closed a segment that lives on.
  void leave_segment(ClientId client, SegmentId segment, Outcomes& out);
  void remove_segment(SegmentId segment, Outcomes& out);

  std::size_t size() const { return objects_.size(); }

 private:
  using Counter = std::uint64_t;
  struct Object {
    SegmentId segment = 0;
    std::string name;
    proto::SyncKind kind{};
    std::uint64_t parameter = 0;
    std::set<ClientId> openers;
    std::variant<Counter, BarrierState, QueueState> state;
  };
  using Objects = std::map<ObjectId, Object>;

  // Null: no such object, or not opened by this client, or of another kind.
  template <class State>
  State* find(ClientId client, ObjectId object);
  bool has_room_to_wait(Waiter& waiter, Outcomes& out);
  ObjectId next_id();
  void note_deadline(std::uint64_t deadline_ns);
  void leave_object(Object& object, ClientId client, bool died, Outcomes& out);

  Objects objects_;
  std::map<std::pair<SegmentId, std::string>, ObjectId> names_;
  ObjectId last_id_ = 0;
  std::size_t waiting_ = 0;  // an upper bound; counted afresh on every tick that looks
  std::uint64_t next_look_ns_ = no_deadline;
};

}  // namespace hive::cell
