// The calling half of the endpoint; rpc_receive.cpp is the other.
#include "cell/rpc/rpc_endpoint.h"

#include <utility>

#include "base/check.h"
#include "base/time.h"
#include "cell/rpc/interrupt_level.h"

namespace hive::cell {
namespace {

constexpr std::uint64_t no_deadline = ~std::uint64_t{0};  // in the core: calls expire themselves
constexpr int post_yields_max = 100;  // on a full ring, before a caller naps

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

void RpcEndpoint::hint(CellId cell, RpcHint hint, const char* cause) const {
  if (hint_) hint_(cell, hint, cause);
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

bool RpcEndpoint::send_raw(CellId to, std::span<const std::byte> bytes, bool garbled) {
  SpinLock& lock = line(to).send;
  lock.lock();
  const bool sent = core_.is_connected(to) && (garbled ? hardware_.send_garbled(to, bytes)
                                                       : hardware_.send(to, bytes));
  lock.unlock();
  return sent;
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
      hint(to, RpcHint::no_answer, "it takes no messages");
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
      if (core_.expire(ticket)) {
        hint(ticket.peer, RpcHint::no_answer, "it did not answer a call in time");
      }
      return;
    }
    waiter_.wait_for_reply(ticket.peer, core_.state_word(ticket), ticket.state, deadline_ns);
    // Somebody else is at it, perhaps in a handler: leave it the processor.
    if (waiter_.has_mail(ticket.peer) && drain(ticket.peer) == 0) std::this_thread::yield();
  }
}

}  // namespace hive::cell
