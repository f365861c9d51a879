// A cell that this task is attached to: its memory behind its fence, and the gate to it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <hive/error.h>
#include "base/fd.h"
#include "lib/gate_client.h"
#include "lib/handshake.h"
#include "lib/membership.h"
#include "lib/page_finder.h"
#include "lib/window_ranges.h"

namespace hive::lib {

// Created with its memory mapped. Once retired, its mappings and descriptors are gone, but the
// object stays as long as the session: a fault handler may be looking at it.
class Peer {
 public:
  // Errors: version, corrupt (the memory is not what the welcome said).
  static Result<std::unique_ptr<Peer>> create(Attached attached, const Membership& membership,
                                              CallState& state);
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  CellId cell() const { return cell_; }
  int connection() const { return attached_->connection.get(); }  // with a PeerUse
  std::uint64_t incarnation() const { return incarnation_; }
  machine::FirewallMode mode() const { return mode_; }
  GateClient& gate() { return gate_; }
  WindowRanges& windows() { return windows_; }
  // Inside a use only, all three.
  const PageFinder& pages() const { return pages_; }
  bool trusts_pages() const { return attached_->welcome.trusts_pages != 0; }
  // Tells the cell that a page of an entry of its table is in use.
  void mark_used(std::uint32_t entry, std::uint32_t sweep) noexcept;
  // Inside a use only.
  const machine::Fence& fence() const { return attached_->fence; }

  // Around every use. enter() is false once the peer is retired. Async-signal-safe.
  bool enter() noexcept {
    users_.fetch_add(1, std::memory_order_seq_cst);
    if (!retired_.load(std::memory_order_seq_cst)) return true;
    leave();
    return false;
  }
  void leave() noexcept { users_.fetch_sub(1, std::memory_order_release); }

  // Whether its memory may be another incarnation's by now. For who has read without a use: what
  // was read before this is false came from this one.
  bool retired() const noexcept { return retired_.load(std::memory_order_acquire); }

  // Lets nobody in and ends the connection.
  void hang_up() noexcept;
  // The same; then waits until deadline_ns for those inside, and unmaps. False: somebody is still
  // inside, and the memory stays mapped.
  bool retire(std::uint64_t deadline_ns) noexcept;

  // In a child of fork: closes the child's copies of the descriptors, so that the end of the
  // connection is the parent's to make. Touches nothing else. Async-signal-safe.
  void close_in_child() noexcept;

 private:
  Peer(Attached attached, const Membership& membership, CallState& state);

  const CellId cell_;
  const std::uint64_t incarnation_;
  const machine::FirewallMode mode_;
  std::unique_ptr<Attached> attached_;  // null once retired
  GateClient gate_;
  WindowRanges windows_;
  const PageFinder pages_;
  ViewTable& views_;
  std::atomic<bool> retired_{false};
  std::atomic<std::uint32_t> users_{0};
};

// One use of a peer; empty if there is none or it is retired. Async-signal-safe.
class PeerUse {
 public:
  explicit PeerUse(Peer* peer) noexcept
      : peer_(peer != nullptr && peer->enter() ? peer : nullptr) {}
  ~PeerUse() {
    if (peer_ != nullptr) peer_->leave();
  }
  PeerUse(const PeerUse&) = delete;
  PeerUse& operator=(const PeerUse&) = delete;

  explicit operator bool() const { return peer_ != nullptr; }
  Peer* operator->() const { return peer_; }

 private:
  Peer* peer_;
};

}  // namespace hive::lib
