#include "cell/rpc/rpc_endpoint.h"

#include <utility>

#include "base/check.h"
#include "base/time.h"

namespace hive::cell {
namespace {

constexpr std::uint64_t no_deadline = ~std::uint64_t{0};  // in the core: calls expire themselves
constexpr int drain_max = 2 * static_cast<int>(machine::sips_slots);  // messages in one turn
constexpr int drain_turns_max = 4;      // before somebody else has to go on
constexpr int reply_spins_max = 200;    // on a full ring, at interrupt level
constexpr int reply_naps_max = 100;     // on a full ring, by a server thread
constexpr int post_yields_max = 100;    // on a full ring, before a caller naps
constexpr std::uint64_t busy_gap_ns = 100 * ns_per_us;  // between messages, that spinning pays for

// Set while an interrupt-level handler runs on this thread.
thread_local bool in_interrupt_handler = false;

}  // namespace

RpcEndpoint::RpcEndpoint(machine::Hardware& hardware, RpcWaiter& waiter, std::uint64_t incarnation,
                         Options options)
    : hardware_(hardware),
      waiter_(waiter),
      options_(options),
      spin_(options.spin),
      core_(hardware.self(), hardware.cells(), incarnation),
      lines_(std::make_unique<Line[]>(static_cast<std::size_t>(hardware.cells()))),
      pool_(options.queue_max, [this](const QueuedRequest& request) { serve_queued(request); }) {}

RpcEndpoint::~RpcEndpoint() { stop(); }

void RpcEndpoint::serve(std::uint16_t opcode, RpcLevel level, RpcHandler handler) {
  HIVE_CHECK(level != RpcLevel::none && handler != nullptr);
  HIVE_CHECK(core_.level(opcode) == RpcLevel::none);
  core_.set_level(opcode, level);
  handlers_[opcode] = std::move(handler);
}

void RpcEndpoint::set_hint(Hint hint) { hint_ = std::move(hint); }
void RpcEndpoint::start() { pool_.start(options_.servers); }
void RpcEndpoint::stop() { pool_.stop(); }

void RpcEndpoint::hint(CellId cell, const char* cause) const {
  if (hint_) hint_(cell, cause);
}

// --- peers

void RpcEndpoint::connect(CellId peer, std::uint64_t incarnation) {
  HIVE_CHECK(!in_interrupt_handler);
  HIVE_CHECK(peer >= 0 && peer < core_.cells() && peer != core_.self());
  take_role(peer);
  line(peer).send.lock();
  core_.connect(peer, incarnation);
  line(peer).send.unlock();
  give_up_role(peer);
  connected_.fetch_or(std::uint64_t{1} << peer, std::memory_order_acq_rel);
  waiter_.wake_receiver();  // it sleeps for mail of those it knew
}

void RpcEndpoint::fail_cell(CellId peer) {
  if (peer < 0 || peer >= core_.cells() || peer == core_.self()) return;
  connected_.fetch_and(~(std::uint64_t{1} << peer), std::memory_order_acq_rel);
  line(peer).send.lock();
  core_.mark_down(peer);
  line(peer).send.unlock();
  core_.fail_calls(peer);
  waiter_.wake_callers(peer);
}

void RpcEndpoint::quiesce(CellId peer) {
  HIVE_CHECK(!in_interrupt_handler);
  take_role(peer);
  give_up_role(peer);
}

// --- calling

Result<RpcReply> RpcEndpoint::call(CellId to, std::uint16_t opcode,
                                   std::span<const std::byte> body, std::uint64_t timeout_ns) {
  HIVE_CHECK(!in_interrupt_handler);
  if (to == core_.self()) return call_self(opcode, body);
  std::uint64_t deadline_ns = 0;  // not known yet: on the fast path nobody looks at the clock
  auto ticket = post(to, opcode, body);
  if (!ticket) [[unlikely]] {
    if (ticket.error().code != Code::busy) return fail(ticket.error());
    deadline_ns = hardware_.now_ns() + timeout_ns;
    ticket = post_patiently(to, opcode, body, deadline_ns);
    if (!ticket) return fail(ticket.error());
  }
  Patience& patience = patience_[core_.level(opcode) == RpcLevel::queued ? 1 : 0];
  if (!await_spinning(*ticket, patience.spin, timeout_ns, deadline_ns) &&
      !await_yielding(*ticket, patience.yield)) {
    await_asleep(*ticket, deadline_ns);
  }
  return core_.take(*ticket);
}

Result<RpcReply> RpcEndpoint::call_self(std::uint16_t opcode, std::span<const std::byte> body) {
  if (opcode >= rpc_opcodes_max || !handlers_[opcode] || body.size() > rpc_body_max) {
    return fail(Code::bad_argument, "the cell does not know this operation", core_.self());
  }
  Result<RpcReply> reply;
  if (auto done = handlers_[opcode]({core_.self(), opcode, body}, *reply); !done) {
    return fail(done.error());
  }
  return reply;
}

// busy: no room for it at the moment.
Result<RpcTicket> RpcEndpoint::post(CellId to, std::uint16_t opcode,
                                    std::span<const std::byte> body) {
  if (to < 0 || to >= core_.cells()) return fail(Code::bad_argument, "there is no such cell", to);
  RpcMessage message;
  SpinLock& lock = line(to).send;
  lock.lock();
  auto ticket = core_.start_call(to, opcode, body, no_deadline, message);
  if (ticket && !hardware_.send(to, message.bytes())) [[unlikely]] {
    core_.cancel_call(*ticket);
    ticket = fail(Code::busy, "the ring to the cell is full", to);
  }
  lock.unlock();
  if (!ticket && ticket.error().code == Code::exhausted) {
    return fail(Code::busy, ticket.error().cause, to);
  }
  return ticket;
}

Result<RpcTicket> RpcEndpoint::post_patiently(CellId to, std::uint16_t opcode,
                                              std::span<const std::byte> body,
                                              std::uint64_t deadline_ns) {
  for (int tries = 0;; ++tries) {
    // Taking what came makes room on both sides: the peer may wait for room just as we do.
    drain(to);
    auto ticket = post(to, opcode, body);
    if (ticket || ticket.error().code != Code::busy) return ticket;
    if (hardware_.now_ns() >= deadline_ns) {
      hint(to, "it takes no messages");
      return fail(Code::timed_out, "the cell takes no messages", to);
    }
    if (tries < post_yields_max) {
      std::this_thread::yield();
    } else {
      waiter_.nap();
    }
  }
}

Result<void> RpcEndpoint::send_one_way(CellId to, std::uint16_t opcode,
                                       std::span<const std::byte> body) {
  if (to < 0 || to >= core_.cells()) return fail(Code::bad_argument, "there is no such cell", to);
  RpcMessage message;
  SpinLock& lock = line(to).send;
  lock.lock();
  auto started = core_.start_one_way(to, opcode, body, message);
  if (started && !hardware_.send(to, message.bytes())) {
    core_.cancel_one_way(to);
    started = fail(Code::exhausted, "the ring to the cell is full", to);
  }
  lock.unlock();
  return started;
}

// False: it does not pay, go to sleep; deadline_ns is set then. True: the call has ended.
bool RpcEndpoint::await_spinning(const RpcTicket& ticket, SpinPolicy& policy,
                                 std::uint64_t timeout_ns, std::uint64_t& deadline_ns) {
  std::uint64_t now = 0;
  if (!may_spin() || !policy.may_spin()) {
    now = hardware_.now_ns();
    if (deadline_ns == 0) deadline_ns = now + timeout_ns;
    if (!may_spin() || !policy.try_again(now)) return false;
  }
  ReceiveRole& role = line(ticket.peer).receive;
  std::uint64_t began = 0;
  std::uint64_t looked = 0;  // at the clock; 0: other work was done since
  for (;;) {                 // ends after spin_max_ns
    const bool receiving = role.try_take();
    for (int i = 0; i < spins_per_look && !core_.ended(ticket); ++i) {
      if (receiving && receive_one(ticket.peer)) {
        looked = 0;
      } else {
        cpu_relax();
      }
    }
    if (receiving && role.give_up()) drain(ticket.peer);
    if (core_.ended(ticket)) {
      policy.succeeded();
      return true;
    }
    now = hardware_.now_ns();
    if (began == 0) began = now;
    if (deadline_ns == 0) deadline_ns = now + timeout_ns;
    const bool held_up = looked != 0 && now - looked > spin_held_up_ns;
    looked = now;
    if (held_up) {
      policy.held_up(now);
      return false;
    }
    if (now - began > spin_max_ns) {
      policy.got_nothing(now);
      return false;
    }
    if (now >= deadline_ns) return false;
  }
}

// When caller and receiver share a processor, giving it away is all that it takes to be answered.
bool RpcEndpoint::await_yielding(const RpcTicket& ticket, SpinPolicy& policy) {
  if (!options_.yield) return false;
  const std::uint64_t before = hardware_.now_ns();
  if (!policy.may_spin() && !policy.try_again(before)) return false;
  std::this_thread::yield();
  if (waiter_.has_mail(ticket.peer)) drain(ticket.peer);
  const std::uint64_t after = hardware_.now_ns();
  const bool ended = core_.ended(ticket);
  if (after - before > spin_held_up_ns) {
    policy.held_up(after);  // others run here too, and have their turns before ours
  } else if (ended) {
    policy.succeeded();
  } else {
    policy.got_nothing(after);
  }
  return ended;
}

void RpcEndpoint::await_asleep(const RpcTicket& ticket, std::uint64_t deadline_ns) {
  while (!core_.ended(ticket)) {
    if (hardware_.now_ns() >= deadline_ns) {
      if (core_.expire(ticket)) hint(ticket.peer, "it did not answer a call in time");
      return;
    }
    waiter_.wait_for_reply(ticket.peer, core_.state_word(ticket), ticket.state, deadline_ns);
    // Somebody else is at it, perhaps in a handler: leave it the processor.
    if (waiter_.has_mail(ticket.peer) && drain(ticket.peer) == 0) std::this_thread::yield();
  }
}

// --- receiving

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
      hint(from, "garbage in its message ring");
      return true;
    case machine::SipsReceived::unreadable:
      hint(from, "bus error while reading its message ring");
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
      answer(arrival.origin, fail(Code::exhausted, "the cell has too many requests waiting"), {}, 0);
      return;
    case What::unknown_opcode:
      answer(arrival.origin, fail(Code::bad_argument, "the cell does not know this operation"), {},
             0);
      return;
    case What::rejected:
      // Late replies and messages of an earlier life are nobody's fault.
      if (arrival.reason == RpcReject::malformed || arrival.reason == RpcReject::repeated ||
          arrival.reason == RpcReject::implausible) {
        hint(from, "it sends messages that make no sense");
      }
      return;
  }
}

void RpcEndpoint::serve_now(const RpcOrigin& origin, std::span<const std::byte> body) {
  RpcReply reply;
  in_interrupt_handler = true;
  const Result<void> result = handlers_[origin.opcode]({origin.from, origin.opcode, body}, reply);
  in_interrupt_handler = false;
  answer(origin, result, reply, 0);
}

void RpcEndpoint::serve_queued(const QueuedRequest& request) {
  const RpcOrigin& origin = request.origin;
  // Who failed in the meantime does not get its requests executed.
  if (!core_.is_same_life(origin)) return;
  RpcReply reply;
  const Result<void> result = handlers_[origin.opcode](
      {origin.from, origin.opcode, {request.body.data(), request.length}}, reply);
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

void RpcEndpoint::note_message() {
  const std::uint64_t now = hardware_.now_ns();
  message_gap_ns_ = now - last_message_ns_;
  last_message_ns_ = now;
}

void RpcEndpoint::receive_loop_once(std::uint64_t deadline_ns) {
  if (drain_all(connected()) > 0) note_message();
  if (may_spin() && message_gap_ns_ < busy_gap_ns && spin_for_mail(deadline_ns)) return;
  waiter_.sleep_until_mail(connected(), deadline_ns);
  if (drain_all(waiter_.mail(connected())) > 0) note_message();
}

// Serves what comes until nothing has come for spin_max_ns. True: the deadline has passed.
bool RpcEndpoint::spin_for_mail(std::uint64_t deadline_ns) {
  std::uint64_t now = hardware_.now_ns();
  if (!receive_spin_.may_spin() && !receive_spin_.try_again(now)) return now >= deadline_ns;
  std::uint64_t looked = now;
  for (;;) {  // ends at the deadline
    int taken = 0;
    for (int i = 0; i < spins_per_look; ++i) {
      const CellSet mail = waiter_.mail(connected());
      const int n = mail.empty() ? 0 : drain_all(mail);
      taken += n;
      if (n == 0) cpu_relax();
    }
    if (taken > 0) {
      receive_spin_.succeeded();
      note_message();
      looked = last_message_ns_;
      if (looked >= deadline_ns) return true;
      continue;
    }
    now = hardware_.now_ns();
    if (now >= deadline_ns) return true;
    if (now - looked > spin_held_up_ns) {
      receive_spin_.held_up(now);
      return false;
    }
    if (now - last_message_ns_ > spin_max_ns) {
      receive_spin_.got_nothing(now);
      return false;
    }
    looked = now;
  }
}

}  // namespace hive::cell
