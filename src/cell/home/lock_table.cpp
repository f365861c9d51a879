#include "cell/home/lock_table.h"

namespace hive::cell {

SharedLock* LockTable::find(SegmentId segment, std::string_view name) {
  const auto at = by_name_.find(std::pair(segment, std::string(name)));
  return at == by_name_.end() ? nullptr : &by_id_.at(at->second);
}

SharedLock* LockTable::find(ObjectId id) {
  const auto at = by_id_.find(id);
  return at == by_id_.end() ? nullptr : &at->second;
}

SharedLock* LockTable::at_page(std::uint32_t page) {
  const auto at = by_page_.find(page);
  return at == by_page_.end() ? nullptr : &by_id_.at(at->second);
}

SharedLock& LockTable::add(SegmentId segment, proto::LockKind kind, std::string_view name,
                           std::uint32_t page, TaggedLock* shared) {
  do {
    ++last_id_;
  } while (last_id_ == 0 || by_id_.contains(last_id_));
  SharedLock& lock = by_id_[last_id_];
  lock.id = last_id_;
  lock.segment = segment;
  lock.kind = kind;
  lock.name = name;
  lock.page = page;
  lock.shared = shared;
  by_name_[std::pair(segment, lock.name)] = lock.id;
  by_page_[page] = lock.id;
  return lock;
}

std::vector<SharedLock> LockTable::remove_segment(SegmentId segment) {
  std::vector<SharedLock> removed;
  for (auto at = by_id_.begin(); at != by_id_.end();) {
    if (at->second.segment != segment) {
      ++at;
      continue;
    }
    by_name_.erase(std::pair(segment, at->second.name));
    by_page_.erase(at->second.page);
    removed.push_back(std::move(at->second));
    at = by_id_.erase(at);
  }
  return removed;
}

}  // namespace hive::cell
