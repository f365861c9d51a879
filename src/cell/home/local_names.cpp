#include "cell/home/local_names.h"

#include "proto/causes.h"

namespace hive::cell {

namespace cause = proto::cause;

// The claim on the name that still counts, or null. Own claims do not end by time: their creator
// is in this process, and finishes them.
LocalNames::Claim* LocalNames::claim_locked(std::string_view name, std::uint64_t now_ns) {
  const auto at = claims_.find(name);
  if (at == claims_.end()) return nullptr;
  if (at->second.by != self_ && now_ns >= at->second.until_ns) {
    claims_.erase(at);
    return nullptr;
  }
  return &at->second;
}

Result<void> LocalNames::put_locked(std::string_view name, CellId by, std::uint64_t now_ns) {
  if (claims_.size() >= reservations_max) {
    std::erase_if(claims_, [&](const auto& entry) {
      return entry.second.by != self_ && now_ns >= entry.second.until_ns;
    });
    if (claims_.size() >= reservations_max) {
      return fail(Code::exhausted, cause::too_many_waiting, self_);
    }
  }
  claims_.emplace(std::string(name), Claim{by, false, false, now_ns + reservation_life_ns});
  return {};
}

Result<void> LocalNames::begin(std::string_view name, std::uint64_t now_ns) {
  const std::scoped_lock lock(mutex_);
  // The claim first: a segment is made before its claim is finished, so one of the two is seen.
  if (claim_locked(name, now_ns) != nullptr) {
    return fail(Code::exists, cause::name_being_created, self_);
  }
  if (exists_(name)) return fail(Code::exists, cause::name_taken, self_);
  return put_locked(name, self_, now_ns);
}

Result<void> LocalNames::confirm(std::string_view name) {
  const std::scoped_lock lock(mutex_);
  const auto at = claims_.find(name);
  if (at == claims_.end() || at->second.by != self_ || at->second.yielded) {
    return fail(Code::exists, cause::name_being_created, self_);
  }
  at->second.confirmed = true;
  return {};
}

void LocalNames::finish(std::string_view name) {
  const std::scoped_lock lock(mutex_);
  const auto at = claims_.find(name);
  if (at != claims_.end() && at->second.by == self_) claims_.erase(at);
}

Result<void> LocalNames::reserve(std::string_view name, CellId by, std::uint64_t now_ns) {
  const std::scoped_lock lock(mutex_);
  Claim* claim = claim_locked(name, now_ns);
  if (exists_(name)) return fail(Code::exists, cause::name_taken, self_);
  if (claim == nullptr) return put_locked(name, by, now_ns);
  if (claim->by == by) {
    claim->until_ns = now_ns + reservation_life_ns;
    return {};
  }
  if (by > claim->by || claim->confirmed) {
    return fail(Code::exists, cause::name_being_created, self_);
  }
  if (claim->by == self_) {
    claim->yielded = true;  // stays until our own creator has noticed
  } else {
    claim->by = by;
    claim->until_ns = now_ns + reservation_life_ns;
  }
  return {};
}

void LocalNames::release(std::string_view name, CellId by) {
  const std::scoped_lock lock(mutex_);
  const auto at = claims_.find(name);
  if (at != claims_.end() && at->second.by == by && by != self_) claims_.erase(at);
}

void LocalNames::forget_cell(CellId cell) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(claims_, [&](const auto& entry) {
    return entry.second.by == cell && cell != self_;
  });
}

std::size_t LocalNames::size() const {
  const std::scoped_lock lock(mutex_);
  return claims_.size();
}

}  // namespace hive::cell
