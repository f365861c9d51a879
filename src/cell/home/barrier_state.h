// What a home knows of one barrier: who waits in it, and whether it is broken. Plain state without
// locks or clocks; SyncTable says when.
#pragma once

#include <cstdint>
#include <vector>

#include "cell/home/waiter.h"

namespace hive::cell {

class BarrierState {
 public:
  explicit BarrierState(std::uint64_t parties) : parties_(parties) {}

  // The last arrival completes everybody; before that the caller waits, unless its deadline has
  // passed: then it has timed out, and the barrier is broken.
  void arrive(Waiter waiter, std::uint64_t now_ns, Outcomes& out);
  // Errors: busy (somebody waits).
  Result<void> reset(std::uint64_t parties);
  // Everybody whose deadline has passed has timed out, which breaks the barrier for the rest.
  void expire(std::uint64_t now_ns, Outcomes& out);
  // A client goes. Its own calls end; the barrier breaks when it died, or left others waiting.
  void leave(ClientId client, bool died, Outcomes& out);
  // The barrier itself goes: calls that still wait end.
  void close(Outcomes& out);

  std::uint64_t parties() const { return parties_; }
  bool broken() const { return broken_; }
  std::size_t waiting() const { return waiting_.size(); }
  std::uint64_t next_deadline() const { return earliest_deadline(waiting_); }

 private:
  void break_it(Outcomes& out);

  std::uint64_t parties_;
  bool broken_ = false;
  std::vector<Waiter> waiting_;
};

}  // namespace hive::cell
