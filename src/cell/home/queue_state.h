// What a home knows of one work queue: which of the items 0 .. count-1 are leased to whom, which
// came back from the dead, how many are done. Plain state without locks or clocks; SyncTable says
// when.
//
// Every item is in exactly one place: fresh (never handed out), returned, leased, or done.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <unordered_map>

#include "cell/home/waiter.h"

namespace hive::cell {

class QueueState {
 public:
  static constexpr std::uint64_t empty = ~std::uint64_t{0};

  explicit QueueState(std::uint64_t count) : count_(count) {}

  // Leases an item, returned ones first; `empty` when all are done; else the caller waits.
  // Errors: timed_out, exhausted (too many leases).
  void take(Waiter waiter, std::uint64_t now_ns, Outcomes& out);
  // Errors: bad_argument (not leased to this client).
  Result<void> finish(ClientId client, std::uint64_t item, Outcomes& out);
  void expire(std::uint64_t now_ns, Outcomes& out);
  // A client goes: its calls end, and its items are handed out again. When several go at once, end
  // the calls of all of them first, so that no item is leased to a client that is about to go.
  void end_calls(ClientId client, Outcomes& out);
  void return_leases(ClientId client, Outcomes& out);
  void close(Outcomes& out);

  QueueProgress progress() const { return {done_, leases_.size(), returned_total_}; }
  std::uint64_t count() const { return count_; }
  std::size_t waiting() const { return waiting_.size(); }
  std::uint64_t next_deadline() const { return earliest_deadline(waiting_); }

 private:
  bool has_item() const { return !returned_.empty() || fresh_ < count_; }
  std::uint64_t lease_to(ClientId client);
  void serve_waiting(Outcomes& out);

  std::uint64_t count_;
  std::uint64_t fresh_ = 0;  // never handed out from here on
  std::uint64_t done_ = 0;
  std::uint64_t returned_total_ = 0;
  std::deque<std::uint64_t> returned_;
  std::map<std::uint64_t, ClientId> leases_;                     // by item
  std::unordered_map<ClientId, std::size_t> leases_of_;  // how many; no zeros
  std::deque<Waiter> waiting_;
};

}  // namespace hive::cell
