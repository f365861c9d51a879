// The machine on Linux, as a cell's kernel works with it: SIPS rings in mapped node memory,
// doorbells that are eventfds, waits that are futexes and epolls, and the power switch by pidfd.
//
//   machine::NodeHeader* own = node_header(layout, self);   // the kernel has filled it in
//   LinuxHardware hardware(layout, self, std::move(doorbell));            // make_doorbell()
//   hardware.connect(peer, {its doorbell, power pidfd, starter pidfd});   // its memory is mapped
//   ... RpcEndpoint(hardware, hardware, incarnation) ...
//   hardware.disconnect(peer);                               // after rpc.fail_cell(peer)
//   hardware.forget(peer);                                   // and rpc.quiesce(peer)
//
// Who is woken by a message, decided by what the receiver publishes in its header:
//   reply_sleepers > 0   threads sleep on the ring word itself: a futex wake
//   receiver_asleep      the receive thread sleeps on its doorbell: rung, but not for replies
// Both sides store, then fence, then look at the other's word, so that no message is slept
// through. Turned down, because on one processor each costs a tenth or two of the round trip more:
// ppoll and read of the doorbell; a futex_waitv that has the state of the call as a second word.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>

#include <hive/error.h>
#include "base/fd.h"
#include "base/ids.h"
#include "cell/rpc/rpc_waiter.h"
#include "machine/hardware.h"
#include "machine/layout.h"
#include "machine/node_header.h"
#include "machine/sips.h"

namespace hive::cell {

struct PeerDescriptors {
  UniqueFd doorbell;
  UniqueFd power_pidfd;  // invalid ones: a node that can't be switched off, is never known off
  UniqueFd starter_pidfd;
};

class LinuxHardware final : public machine::Hardware, public RpcWaiter {
 public:
  // An eventfd; copies of it go to the peers. Errors: host, exhausted.
  static Result<UniqueFd> make_doorbell();

  // The node's own memory is mapped and its header filled in, with rings and counters zero. Nobody
  // else reads from or polls the doorbell.
  LinuxHardware(const machine::Layout& layout, CellId self, UniqueFd own_doorbell);

  // Takes up traffic with a peer whose memory is mapped here. No thread may be using the peer
  // (RpcEndpoint::quiesce). Errors: corrupt (its header makes no sense), cell_down (bus error),
  // bad_argument.
  Result<void> connect(CellId peer, PeerDescriptors descriptors);
  // No message goes to or comes from the peer any more. Its power switch stays. Any thread.
  void disconnect(CellId peer);
  // Disconnects, and empties the ring to the peer. No thread may be using it. Before its next
  // incarnation can know of this cell: what it takes from the ring to the last one, it waits for
  // in vain from then on.
  void forget(CellId peer);

  int own_doorbell() const { return doorbell_.get(); }

  CellId self() const noexcept override { return self_; }
  int cells() const noexcept override { return static_cast<int>(layout_.cells); }
  std::uint64_t now_ns() noexcept override;
  bool send(CellId to, std::span<const std::byte> payload) noexcept override;
  bool send_garbled(CellId to, std::span<const std::byte> payload) noexcept override;
  machine::SipsReceived receive(CellId from, machine::SipsMessage& out) noexcept override;
  bool read_remote(std::uint64_t address, void* out, std::size_t bytes) noexcept override;
  void power_off(CellId node) noexcept override;
  bool is_off(CellId node) noexcept override;

  bool send_reply(CellId to, std::span<const std::byte> payload) noexcept override;
  bool has_mail(CellId from) const noexcept override;
  CellSet mail(CellSet from) const noexcept override;
  void wait_for_reply(CellId from, const std::atomic<std::uint32_t>& state, std::uint32_t expected,
                      std::uint64_t deadline_ns) noexcept override;
  void wake_callers(CellId from) noexcept override;
  void sleep_until_mail(CellSet from, std::uint64_t deadline_ns) noexcept override;
  void wake_receiver() noexcept override;
  void nap() noexcept override;

 private:
  // `sender` is used under the send lock of the peer, `receiver` under its receive role; both are
  // replaced only by connect().
  struct alignas(64) Link {
    std::atomic<bool> connected{false};
    std::atomic<std::uint32_t> next_sequence{1};  // of the message to be received next
    const machine::SipsRing* ring_from = nullptr;
    const machine::NodeHeader* header = nullptr;
    std::optional<machine::SipsSender> sender;
    std::optional<machine::SipsReceiver> receiver;
    std::mutex descriptors_mutex;
    PeerDescriptors descriptors;  // guarded by descriptors_mutex
    bool known_off = false;       // guarded by descriptors_mutex
  };

  bool is_peer(CellId cell) const { return cell >= 0 && cell < cells() && cell != self_; }
  Link& link(CellId cell) { return links_[static_cast<std::size_t>(cell)]; }
  const Link& link(CellId cell) const { return links_[static_cast<std::size_t>(cell)]; }
  bool send_and_wake(CellId to, std::span<const std::byte> payload, bool doorbell,
                     std::uint32_t damage = 0) noexcept;
  void ring_doorbell(Link& to) noexcept;
  const std::atomic<std::uint32_t>* next_word(const Link& from,
                                              std::uint32_t sequence) const noexcept;

  const machine::Layout layout_;
  const CellId self_;
  machine::NodeHeader* const own_;
  const UniqueFd doorbell_;
  const UniqueFd doorbell_epoll_;  // edge-triggered: the doorbell needs no read
  std::array<Link, max_cells> links_;
};

}  // namespace hive::cell
