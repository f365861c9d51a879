// The mutexes and conditions that this home keeps: who has opened which, and which page is whose.
// Plain state; Home does what has to be done to pages and words. Not thread-safe: every call under
// the home's mutex.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cell/heap/tagged_heap.h"
#include "cell/home/types.h"
#include "proto/gate.h"
#include "proto/lock.h"

namespace hive::cell {

inline constexpr std::size_t locks_max = 4096;
inline constexpr std::size_t locks_per_client_max = 256;

// As it lies in the kernel's heap; a task is told the address of `state`.
struct TaggedLock {
  static constexpr std::uint32_t type = type_name("LOCK");
  TypeTag tag;
  proto::LockState state;
};

struct SharedLock {
  ObjectId id = 0;
  SegmentId segment = 0;
  proto::LockKind kind{};
  std::string name;
  std::uint32_t page = 0;  // of the node
  TaggedLock* shared = nullptr;
  bool resetting = false;
  bool breaks_again = false;  // it broke while it was being reset
  std::uint32_t changes = 0;  // goes up when a client comes or goes, and around a reset
  // Clients that may store to the page, each with its slot of the published table of windows.
  std::map<ClientId, std::uint32_t> openers;

  bool has_token(std::uint32_t token) const {
    for (const auto& [client, slot] : openers) {
      if (proto::lock_token(client) == token) return true;
    }
    return false;
  }
};

class LockTable {
 public:
  SharedLock* find(SegmentId segment, std::string_view name);
  SharedLock* find(ObjectId id);
  SharedLock* at_page(std::uint32_t page);
  // Makes one; no other of that name is in the segment.
  SharedLock& add(SegmentId segment, proto::LockKind kind, std::string_view name,
                  std::uint32_t page, TaggedLock* shared);
  // Takes those of the segment out, which nobody has open any more.
  std::vector<SharedLock> remove_segment(SegmentId segment);

  std::size_t size() const { return by_id_.size(); }
  std::map<ObjectId, SharedLock>& all() { return by_id_; }
  const std::map<ObjectId, SharedLock>& all() const { return by_id_; }

 private:
  std::map<ObjectId, SharedLock> by_id_;
  std::map<std::pair<SegmentId, std::string>, ObjectId> by_name_;
  std::map<std::uint32_t, ObjectId> by_page_;
  ObjectId last_id_ = 0;
};

}  // namespace hive::cell
