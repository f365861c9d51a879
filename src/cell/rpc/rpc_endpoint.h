// RPC between cells, with threads: the core (rpc_core.h) on a machine.
//
//   LinuxHardware hardware(...);                         // linux_hardware.h
//   RpcEndpoint rpc(hardware, hardware, incarnation);
//   rpc.serve(op_ping, RpcLevel::interrupt,
//             [](const RpcRequest&, RpcReply&) { return Result<void>(); });
//   rpc.start();                                         // server threads of queued requests
//   hardware.connect(peer, ...); rpc.connect(peer, its_incarnation);
//   receive thread:  while (running) { rpc.receive_loop_once(next_tick_ns); ...; }
//   any thread:      auto reply = rpc.call(peer, op_ping, {}, 10 * ns_per_ms);
//                    auto answer = rpc.call_for<Answer>(peer, op_ask, Question{...}, timeout);
//   detector:        rpc.fail_cell(peer);                // all calls to it end with cell_down
//
// Who waits receives: a caller that waits looks at the ring of the cell that it called, and takes
// what has come, serving interrupt-level requests on the way; so that with both sides spinning
// only two threads run. The receive thread does the same for whoever does not wait. Receiving from
// one peer is a role under a try-lock.
//
// Locks, in this order: a peer's receive role (held while interrupt-level handlers run), a peer's
// send lock (a leaf). Interrupt-level handlers run on any thread that receives, one at a time for
// each peer, at the same time for different peers; they must not block, call() or connect().
// Queued handlers may do all that except stop().
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <hive/error.h>
#include "base/ids.h"
#include "base/spin_policy.h"
#include "cell/rpc/rpc_core.h"
#include "cell/rpc/rpc_types.h"
#include "cell/rpc/rpc_waiter.h"
#include "cell/rpc/server_pool.h"
#include "cell/rpc/spin_lock.h"
#include "machine/hardware.h"

namespace hive::cell {

class RpcEndpoint {
 public:
  struct Options {
    int servers = 2;              // threads for queued requests
    std::size_t queue_max = 256;  // queued requests; more are answered `exhausted`
    bool spin = true;             // where it pays (spin_policy.h)
    bool yield = true;            // before a caller that does not spin sleeps; the same
  };
  // A sign that a cell may be failing: an unanswered call, garbage, a bus error. Called on the
  // thread that noticed it, without a lock but perhaps with a receive role: must not block or
  // call().
  using Hint = std::function<void(CellId cell, RpcHint hint, const char* cause)>;

  // `hardware` and `waiter` (often one object) outlive the endpoint. `incarnation`: this cell's
  // own.
  RpcEndpoint(machine::Hardware& hardware, RpcWaiter& waiter, std::uint64_t incarnation,
              Options options);
  RpcEndpoint(machine::Hardware& hardware, RpcWaiter& waiter, std::uint64_t incarnation)
      : RpcEndpoint(hardware, waiter, incarnation, Options()) {}
  ~RpcEndpoint();  // stops; nobody is in a call
  RpcEndpoint(const RpcEndpoint&) = delete;
  RpcEndpoint& operator=(const RpcEndpoint&) = delete;

  // Before start(). Opcodes are 1 .. 255.
  void serve(std::uint16_t opcode, RpcLevel level, RpcHandler handler);
  void set_hint(Hint hint);
  void start();
  // Ends the server threads. Calls that wait are not ended: fail_cell() does that.
  void stop();

  // Takes up traffic with a peer to which the hardware is connected. Not from a handler.
  void connect(CellId peer, std::uint64_t incarnation);
  // Ends all calls to the cell with cell_down; nothing is sent to it any more when this returns.
  // From any thread, also from handlers. Harmless when it is down already.
  void fail_cell(CellId peer);
  // After fail_cell: waits until no thread receives from the cell. Not from a handler.
  void quiesce(CellId peer);
  CellSet connected() const { return CellSet(connected_.load(std::memory_order_acquire)); }

  // Calls another cell, or this one (then the handler runs here and now). Blocks until the answer,
  // at most `timeout_ns`. Errors: those of the handler; and timed_out (it may or may not have
  // been, or still be, executed), cell_down, bad_argument (opcode, cell, or a body over
  // rpc_body_max bytes), exhausted (the other cell's queue is full).
  Result<RpcReply> call(CellId to, std::uint16_t opcode, std::span<const std::byte> body,
                        std::uint64_t timeout_ns);

  // The same with a plain structure for the request, and for the reply one, whose length is
  // checked (corrupt) but not its contents.
  template <class Reply, class Request>
  Result<Reply> call_for(CellId to, std::uint16_t opcode, const Request& request,
                         std::uint64_t timeout_ns) {
    static_assert(sizeof(Request) <= rpc_body_max && std::is_trivially_copyable_v<Request>);
    auto reply = call(to, opcode, std::as_bytes(std::span(&request, 1)), timeout_ns);
    if (!reply) return fail(reply.error());
    Reply value;
    if (!reply->get(value)) return fail(Code::corrupt, "a reply has the wrong length", to);
    return value;
  }

  // Sends without waiting for an answer. Errors: cell_down, bad_argument, exhausted (ring full).
  Result<void> send_one_way(CellId to, std::uint16_t opcode, std::span<const std::byte> body);

  // Puts bytes into the ring as they are, also such as are no message: a fault to be injected.
  // False: the ring is full, or the cell is not connected.
  bool send_raw(CellId to, std::span<const std::byte> bytes, bool garbled);

  // The kernel's receive thread, and only that: takes what has come and serves it; when nothing
  // has, spins as long as that pays, then sleeps once. Returns at the deadline, or after that
  // sleep, which ends when something has come (it is served before the return) or with
  // wake_receiver().
  void receive_loop_once(std::uint64_t deadline_ns);
  void wake_receiver() { waiter_.wake_receiver(); }

  // Off: every wait goes to sleep at once. For measurements; any thread.
  void set_spin(bool on) { spin_.store(on, std::memory_order_relaxed); }

  RpcPeerCounters& counters(CellId peer) { return core_.counters(peer); }
  std::uint64_t queued_served() const { return pool_.served(); }
  std::size_t queue_waiting() const { return pool_.waiting(); }

 private:
  struct alignas(64) Line {
    ReceiveRole receive;
    alignas(64) SpinLock send;
  };
  struct Patience {
    SpinPolicy spin;
    SpinPolicy yield;
  };

  Line& line(CellId peer) { return lines_[static_cast<std::size_t>(peer)]; }
  Result<RpcReply> call_self(std::uint16_t opcode, std::span<const std::byte> body);
  Result<RpcTicket> post(CellId to, std::uint16_t opcode, std::span<const std::byte> body);
  Result<RpcTicket> post_patiently(CellId to, std::uint16_t opcode,
                                   std::span<const std::byte> body, std::uint64_t deadline_ns);
  bool await_spinning(const RpcTicket& ticket, SpinPolicy& policy, std::uint64_t timeout_ns,
                      std::uint64_t& deadline_ns);
  bool await_yielding(const RpcTicket& ticket, SpinPolicy& policy);
  void await_asleep(const RpcTicket& ticket, std::uint64_t deadline_ns);

  void take_role(CellId from);
  void give_up_role(CellId from);
  bool receive_one(CellId from);
  int drain(CellId from);
  int drain_all(CellSet from);
  void take_message(CellId from, std::span<const std::byte> bytes);
  void serve_now(const RpcOrigin& origin, std::span<const std::byte> body);
  void serve_queued(const QueuedRequest& request);
  void answer(const RpcOrigin& origin, const Result<void>& result, const RpcReply& reply,
              int naps_max);
  bool spin_for_mail(std::uint64_t deadline_ns);
  bool may_spin() const { return spin_.load(std::memory_order_relaxed); }
  void hint(CellId cell, RpcHint hint, const char* cause) const;

  machine::Hardware& hardware_;
  RpcWaiter& waiter_;
  const Options options_;
  std::atomic<bool> spin_;
  RpcCore core_;
  std::array<RpcHandler, rpc_opcodes_max> handlers_;
  Hint hint_;
  std::unique_ptr<Line[]> lines_;
  std::atomic<std::uint64_t> connected_{0};
  std::array<Patience, 2> patience_;  // with calls served at interrupt level; and queued
  ServerSpin receive_spin_;  // receive thread
  ServerPool pool_;
};

}  // namespace hive::cell
