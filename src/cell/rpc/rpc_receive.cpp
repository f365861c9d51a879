// The receiving half of the endpoint: who takes messages off a ring, and what becomes of them.
#include <thread>

#include "base/check.h"
#include "base/time.h"
#include "cell/rpc/interrupt_level.h"
#include "cell/rpc/rpc_endpoint.h"
#include "machine/fault_point.h"

namespace hive::cell {
namespace {

constexpr int drain_max = 2 * static_cast<int>(machine::sips_slots);  // messages in one turn
constexpr int drain_turns_max = 4;    // before somebody else has to go on
constexpr int reply_spins_max = 200;  // on a full ring, at interrupt level
constexpr int reply_naps_max = 100;   // on a full ring, by a server thread

}  // namespace

constinit thread_local bool in_interrupt_handler = false;

void RpcEndpoint::take_role(CellId from) {
  while (!line(from).receive.try_take()) std::this_thread::yield();
}

void RpcEndpoint::give_up_role(CellId from) {
  if (line(from).receive.give_up()) waiter_.wake_receiver();
}

int RpcEndpoint::drain(CellId from) {
  ReceiveRole& role = line(from).receive;
  int taken = 0;
  for (int turn = 0; turn < drain_turns_max; ++turn) {
    if (!role.try_take()) return taken;
    for (int i = 0; i < drain_max && receive_one(from); ++i) ++taken;
    if (!role.give_up()) return taken;
  }
  waiter_.wake_receiver();
  return taken;
}

int RpcEndpoint::drain_all(CellSet from) {
  int taken = 0;
  for (; !from.empty(); from.remove(from.lowest())) taken += drain(from.lowest());
  return taken;
}

// In the receive role. False: there is nothing.
bool RpcEndpoint::receive_one(CellId from) {
  machine::SipsMessage message;
  switch (hardware_.receive(from, message)) {
    case machine::SipsReceived::none:
      return false;
    case machine::SipsReceived::message:
      take_message(from, message.bytes());
      return true;
    case machine::SipsReceived::rejected:
      core_.on_garbled(from);
      hint(from, RpcHint::garbage, "garbage in its message ring");
      return true;
    case machine::SipsReceived::unreadable:
      hint(from, RpcHint::bus_error, "bus error while reading its message ring");
      return false;
  }
  return false;
}

void RpcEndpoint::take_message(CellId from, std::span<const std::byte> bytes) {
  using What = RpcArrival::What;
  const RpcArrival arrival = core_.on_message(from, bytes);
  switch (arrival.what) {
    case What::completed:
      return;  // its caller looks for itself
    case What::interrupt:
      serve_now(arrival.origin, arrival.body);
      return;
    case What::queued:
      if (pool_.put(arrival.origin, arrival.body)) return;
      core_.counters(from).queue_overflows.fetch_add(1, std::memory_order_relaxed);
      answer(arrival.origin, fail(Code::exhausted, "the cell has too many requests waiting"), {},
             0);
      return;
    case What::unknown_opcode:
      answer(arrival.origin, fail(Code::bad_argument, "the cell does not know this operation"), {},
             0);
      return;
    case What::rejected:
      // Late replies and messages of an earlier life are nobody's fault.
      if (arrival.reason == RpcReject::malformed || arrival.reason == RpcReject::repeated ||
          arrival.reason == RpcReject::implausible) {
        hint(from, RpcHint::garbage, "it sends messages that make no sense");
      }
      return;
  }
}

void RpcEndpoint::serve_now(const RpcOrigin& origin, std::span<const std::byte> body) {
  RpcReply reply;
  in_interrupt_handler = true;
  const Result<void> result = handlers_[origin.opcode]({origin.from, origin.opcode, body}, reply);
  in_interrupt_handler = false;
  machine::fault_point(machine::FaultPoint::rpc_serve);
  answer(origin, result, reply, 0);
}

void RpcEndpoint::serve_queued(const QueuedRequest& request) {
  const RpcOrigin& origin = request.origin;
  // Who failed in the meantime does not get its requests executed.
  if (!core_.is_same_life(origin)) return;
  RpcReply reply;
  const Result<void> result = handlers_[origin.opcode](
      {origin.from, origin.opcode, {request.body.data(), request.length}}, reply);
  machine::fault_point(machine::FaultPoint::rpc_serve);
  answer(origin, result, reply, reply_naps_max);
}

void RpcEndpoint::answer(const RpcOrigin& origin, const Result<void>& result,
                         const RpcReply& reply, int naps_max) {
  if (origin.slot == rpc_no_slot) return;
  RpcMessage message;
  SpinLock& lock = line(origin.from).send;
  for (int naps = 0;; ++naps) {
    lock.lock();
    bool over = !core_.wants_reply(origin);
    if (!over) core_.make_reply(origin, result, reply, message);
    for (int spins = 0; !over && spins < reply_spins_max; ++spins) {
      over = waiter_.send_reply(origin.from, message.bytes());
      if (!over) cpu_relax();
    }
    lock.unlock();
    if (over) return;
    if (naps == naps_max) break;
    waiter_.nap();
  }
  core_.counters(origin.from).replies_dropped.fetch_add(1, std::memory_order_relaxed);
}

void RpcEndpoint::receive_loop_once(std::uint64_t deadline_ns) {
  if (drain_all(connected()) > 0) receive_spin_.served(hardware_.now_ns());
  if (may_spin() && spin_for_mail(deadline_ns)) return;
  waiter_.sleep_until_mail(connected(), deadline_ns);
  if (drain_all(waiter_.mail(connected())) > 0) receive_spin_.served(hardware_.now_ns());
}

// Serves what comes for as long as it pays to spin for more. True: the deadline has passed.
bool RpcEndpoint::spin_for_mail(std::uint64_t deadline_ns) {
  std::uint64_t now = hardware_.now_ns();
  while (now < deadline_ns) {
    if (!receive_spin_.look_again(now)) return false;
    int taken = 0;
    for (int i = 0; i < spins_per_look; ++i) {
      const CellSet mail = waiter_.mail(connected());
      const int n = mail.empty() ? 0 : drain_all(mail);
      taken += n;
      if (n == 0) cpu_relax();
    }
    now = hardware_.now_ns();
    if (taken > 0) receive_spin_.served(now);
  }
  return true;
}

}  // namespace hive::cell
