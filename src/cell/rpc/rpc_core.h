// The RPC protocol of one cell: pure state, without I/O, threads or time. Messages and the time
// are passed in, messages to be sent come out; tests drive it from a seed (tests/cellcore), the
// endpoint (rpc_endpoint.h) with threads.
//
//   caller    start_call -> [send] ... on_message/on_tick/fail_calls end it ... take
//   receiver  on_message -> interrupt or queued -> run the handler -> make_reply -> [send]
//
// What holds whatever arrives:
//   1. A request runs at most once: a peer's requests carry rising ids; an id that is not above
//      the last is dropped and counted.
//   2. A call ends exactly once: by its reply, its deadline, or the failure of its cell. A reply
//      that comes later, or twice, or for another call, finds no such call; it is dropped and
//      counted.
//   3. Nothing in a message is believed before it is checked; every table has a bound.
//
// Concurrency, for the endpoint: what sends to a peer (start_call, start_one_way, cancel,
// mark_down) is under the peer's send lock of the caller, on_message under its receive lock;
// connect under both. Everything else may be called at any time: a call's state is one atomic
// word.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include <hive/error.h>
#include "base/ids.h"
#include "cell/rpc/message.h"
#include "cell/rpc/rpc_types.h"

namespace hive::cell {

// Calls, answers to as many, and some one-way messages fit into a ring.
inline constexpr std::uint16_t calls_per_peer_max = 24;
// Requests that may be lost in a row without a trace; more, if messages of the peer were dropped.
inline constexpr std::uint64_t id_gap_max = 64;

enum class RpcLevel : std::uint8_t { none, interrupt, queued };

// Why a message was dropped.
enum class RpcReject : std::uint8_t {
  malformed,      // too short, a length, kind, opcode or status that can't be
  peer_down,      // the sender is not connected
  stale,          // from or for another incarnation
  repeated,       // a request that is not newer than the last
  implausible,    // a request whose id is far too new
  no_such_call,   // a reply that is late, repeated or invented
  garbled,        // dropped by SIPS already: a wrong sum, sender or length
  count_
};

struct RpcPeerCounters {
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(RpcReject::count_)> rejected{};
  std::atomic<std::uint64_t> calls{0};
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> timed_out{0};
  std::atomic<std::uint64_t> queue_overflows{0};
  std::atomic<std::uint64_t> replies_dropped{0};  // the peer's ring was full for too long
  std::uint64_t rejected_total() const;
};

struct RpcTicket {
  CellId peer = -1;
  std::uint16_t slot = 0;
  std::uint32_t state = 0;  // of the slot while the call waits
};

// What identifies a request until it is answered.
struct RpcOrigin {
  CellId from = -1;
  std::uint16_t opcode = 0;
  std::uint16_t slot = rpc_no_slot;  // rpc_no_slot: no answer is wanted
  std::uint32_t incarnation = 0;     // of the caller
  std::uint64_t id = 0;
};

struct RpcArrival {
  enum class What : std::uint8_t { rejected, completed, interrupt, queued, unknown_opcode };
  What what = What::rejected;
  RpcReject reason = RpcReject::malformed;
  RpcTicket call;                            // completed
  RpcOrigin origin;                          // of a request
  std::span<const std::byte> body;           // of a request; lies in the bytes passed in
};

class RpcCore {
 public:
  struct Options {
    bool check_repeats = true;  // false: a planted bug, for the tests that have to find it
  };
  RpcCore(CellId self, int cells, std::uint64_t incarnation, Options options);
  RpcCore(CellId self, int cells, std::uint64_t incarnation)
      : RpcCore(self, cells, incarnation, Options{}) {}

  // Before any message: how a request is served. none: it is answered `bad_argument`.
  void set_level(std::uint16_t opcode, RpcLevel level);
  RpcLevel level(std::uint16_t opcode) const;

  // A peer's new incarnation (not 0): its requests count from the beginning.
  void connect(CellId peer, std::uint64_t incarnation);
  bool is_connected(CellId peer) const;
  // No call to the peer starts from here on, and nothing that it sends is taken.
  void mark_down(CellId peer);
  // Ends all calls to a peer that was marked down with cell_down. Returns how many.
  int fail_calls(CellId peer) { return end_calls(peer, Code::cell_down, ~std::uint64_t{0}); }
  // Ends all calls whose deadline has passed with timed_out. (The endpoint uses expire instead.)
  int on_tick(std::uint64_t now_ns);

  // Errors: bad_argument (peer, opcode or length), cell_down, exhausted (calls_per_peer_max
  // calls).
  Result<RpcTicket> start_call(CellId to, std::uint16_t opcode, std::span<const std::byte> body,
                               std::uint64_t deadline_ns, RpcMessage& out);
  Result<void> start_one_way(CellId to, std::uint16_t opcode, std::span<const std::byte> body,
                             RpcMessage& out);
  // The message that was started last could not be sent: as if it had never been.
  void cancel_call(const RpcTicket& ticket);
  void cancel_one_way(CellId to);

  RpcArrival on_message(CellId from, std::span<const std::byte> bytes);
  void on_garbled(CellId from);  // SIPS has dropped a message

  // An answer: with `result` an error, or with the reply.
  void make_reply(const RpcOrigin& origin, const Result<void>& result, const RpcReply& reply,
                  RpcMessage& out) const;
  // Whether the sender of a request is still connected, in the same incarnation.
  bool is_same_life(const RpcOrigin& origin) const;
  // Whether there is somebody to send an answer to.
  bool wants_reply(const RpcOrigin& origin) const {
    return origin.slot != rpc_no_slot && is_same_life(origin);
  }

  bool ended(const RpcTicket& ticket) const {
    return (slot_of(ticket).state.load(std::memory_order_acquire) & phase_mask) == done;
  }
  // Ends the call with timed_out. False: it has ended otherwise meanwhile.
  bool expire(const RpcTicket& ticket);
  // Is ticket.state until the call ends.
  const std::atomic<std::uint32_t>& state_word(const RpcTicket& ticket) const {
    return slot_of(ticket).state;
  }
  // The result of a call that has ended; gives the slot back. Once for each call.
  Result<RpcReply> take(const RpcTicket& ticket);

  RpcPeerCounters& counters(CellId peer) {
    return peers_[static_cast<std::size_t>(peer)].counters;
  }
  CellId self() const { return self_; }
  int cells() const { return cells_; }

 private:
  // The low bits of a slot's state word; above them is the generation, one more for each call.
  enum Phase : std::uint32_t { free = 0, waiting, completing, done };
  static constexpr std::uint32_t phase_bits = 2;
  static constexpr std::uint32_t phase_mask = (1U << phase_bits) - 1;

  struct alignas(64) Slot {
    std::atomic<std::uint32_t> state{0};
    std::atomic<std::uint16_t> opcode{0};
    std::uint8_t status = 0;  // from here on: whoever completes, until done; then the caller
    std::uint8_t length = 0;
    std::atomic<std::uint64_t> id{0};
    std::atomic<std::uint64_t> deadline_ns{0};
    const char* cause = nullptr;  // of an error that arose here, not there
    std::array<std::byte, rpc_body_max> body;
  };
  struct alignas(64) Peer {
    std::atomic<std::uint64_t> incarnation{0};  // 0: not connected
    std::uint64_t known_incarnation = 0;        // the last that was connected
    std::uint64_t last_sent = 0;                // send lock
    std::uint16_t next_slot = 0;                // send lock
    alignas(64) std::uint64_t last_received = 0;  // receive lock
    std::uint64_t dropped = 0;                    // since then; receive lock
    RpcPeerCounters counters;
    std::array<Slot, calls_per_peer_max> slots;
  };

  bool is_peer(CellId cell) const { return cell >= 0 && cell < cells_ && cell != self_; }
  Slot& slot_of(const RpcTicket& t) const {
    return peers_[static_cast<std::size_t>(t.peer)].slots[t.slot];
  }
  Result<void> start(CellId to, std::uint16_t opcode, std::span<const std::byte> body);
  void fill(CellId to, RpcKind kind, std::uint16_t opcode, std::uint16_t slot, std::uint64_t id,
            std::span<const std::byte> body, RpcMessage& out) const;
  RpcArrival reject(CellId from, RpcReject reason);
  RpcArrival on_request(CellId from, const RpcHeader& header, std::span<const std::byte> body);
  RpcArrival on_reply(CellId from, const RpcHeader& header, std::span<const std::byte> body);
  static std::uint32_t with_phase(std::uint32_t state, Phase phase) {
    return (state & ~phase_mask) | phase;
  }
  // Takes the right to complete the call that waits in this state.
  static bool claim(Slot& slot, std::uint32_t state);
  static bool end_call(Slot& slot, Code code, std::uint64_t now_ns);
  int end_calls(CellId peer, Code code, std::uint64_t now_ns);

  const CellId self_;
  const int cells_;
  const std::uint32_t incarnation_;
  const Options options_;
  std::array<RpcLevel, rpc_opcodes_max> levels_{};
  std::unique_ptr<Peer[]> peers_;
};

}  // namespace hive::cell
