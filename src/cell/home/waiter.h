// A call that waits in a barrier or a queue, and what becomes of such calls. Outcomes are
// collected under the home's mutex and delivered without it.
#pragma once

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "cell/home/types.h"
#include "proto/causes.h"

namespace hive::cell {

struct Waiter {
  ClientId client = 0;
  std::uint64_t deadline_ns = 0;
  SyncDone done;
};

class Outcomes {
 public:
  void add(SyncDone done, Result<std::uint64_t> result) {
    all_.emplace_back(std::move(done), result);
  }
  void add_failure(SyncDone done, Code code, const char* cause) {
    add(std::move(done), fail(code, cause));
  }
  std::size_t size() const { return all_.size(); }
  // Without the home's mutex.
  void deliver() {
    for (auto& [done, result] : std::exchange(all_, {})) {
      if (done) done(result);
    }
  }

 private:
  std::vector<std::pair<SyncDone, Result<std::uint64_t>>> all_;
};

inline constexpr std::uint64_t no_deadline = std::numeric_limits<std::uint64_t>::max();

template <class Waiters>
std::uint64_t earliest_deadline(const Waiters& waiters) {
  std::uint64_t earliest = no_deadline;
  for (const Waiter& waiter : waiters) {
    if (waiter.deadline_ns < earliest) earliest = waiter.deadline_ns;
  }
  return earliest;
}

// Takes the waiters out for which `goes` is true, in order.
template <class Waiters, class Goes>
std::vector<Waiter> extract(Waiters& waiters, Goes goes) {
  std::vector<Waiter> gone;
  Waiters rest;
  for (Waiter& waiter : waiters) {
    if (goes(waiter)) {
      gone.push_back(std::move(waiter));
    } else {
      rest.push_back(std::move(waiter));
    }
  }
  waiters = std::move(rest);
  return gone;
}

}  // namespace hive::cell
