// The cells that this task is attached to. Its own from the beginning; others when it first needs
// them.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include <hive/error.h>
#include "base/ids.h"
#include "lib/membership.h"
#include "lib/news_feed.h"
#include "lib/peer.h"

namespace hive::lib {

// How long attaching may take, at most.
inline constexpr std::uint64_t attach_timeout_ns = 5 * ns_per_s;

class PeerTable {
 public:
  PeerTable(const Membership& membership, CallState& state, std::unique_ptr<Peer> own);
  PeerTable(const PeerTable&) = delete;
  PeerTable& operator=(const PeerTable&) = delete;

  // The peer, attached now if need be; if the cell has another incarnation than the peer that we
  // have, that one is retired first. Blocks up to attach_timeout_ns; one thread attaches at a
  // time. Errors: cell_down, not_found (no such cell), timed_out, version, corrupt, exhausted,
  // host.
  Result<Peer*> attached_to(CellId cell);

  // The peer if there is one, else null. Async-signal-safe.
  Peer* find(CellId cell) const noexcept {
    if (cell < 0 || cell >= max_cells) return nullptr;
    return peers_[static_cast<std::size_t>(cell)].load(std::memory_order_acquire);
  }

  const machine::Layout& layout() const { return membership_.layout; }
  NewsFeed& news() { return news_; }

  // Retires all. False: threads are still inside some; then this table must stay for ever.
  bool retire_all(std::uint64_t deadline_ns);

  // Ends all connections, and leaves the memory where it is.
  void hang_up_all() noexcept;

  // In a child of fork. Async-signal-safe.
  void close_in_child() noexcept;

 private:
  Result<Peer*> attach_locked(CellId cell);
  Result<void> check_alive(CellId cell) const;
  void enter_locked(std::unique_ptr<Peer> peer);

  const Membership& membership_;
  CallState& state_;
  NewsFeed news_;
  std::array<std::atomic<Peer*>, max_cells> peers_{};
  std::mutex mutex_;                        // attaching and retiring; never taken in a handler
  std::vector<std::unique_ptr<Peer>> all_;  // guarded by mutex_; also the retired
};

}  // namespace hive::lib
