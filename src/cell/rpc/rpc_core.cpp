#include "cell/rpc/rpc_core.h"

#include <cstring>
#include <thread>

#include "base/check.h"
#include "base/time.h"
#include "proto/causes.h"

namespace hive::cell {
namespace {

constexpr std::memory_order relaxed = std::memory_order_relaxed;

// For counters that only one thread at a time adds to, but anybody may read.
void add_one(std::atomic<std::uint64_t>& counter) {
  counter.store(counter.load(relaxed) + 1, relaxed);
}

// What another cell says of its error, taken over as far as it makes sense.
Error remote_error(CellId peer, std::uint8_t status, std::span<const std::byte> body) {
  const auto code = static_cast<Code>(status - 1);
  RpcErrorBody detail;
  if (body.size() != sizeof detail) return error(code, proto::cause_text(0), peer);
  std::memcpy(&detail, body.data(), sizeof detail);
  const bool known_cell = detail.cell >= 0 && detail.cell < max_cells;
  Error e = error(code, proto::cause_text(detail.cause), known_cell ? detail.cell : peer,
                  detail.sys_errno);
  e.lost_range = detail.lost_range;
  return e;
}

}  // namespace

std::uint64_t RpcPeerCounters::rejected_total() const {
  std::uint64_t total = 0;
  for (const auto& count : rejected) total += count.load(relaxed);
  return total;
}

RpcCore::RpcCore(CellId self, int cells, std::uint64_t incarnation, Options options)
    : self_(self),
      cells_(cells),
      incarnation_(static_cast<std::uint32_t>(incarnation)),
      options_(options),
      peers_(std::make_unique<Peer[]>(static_cast<std::size_t>(cells))) {
  HIVE_CHECK(cells > 0 && cells <= max_cells);
  HIVE_CHECK(self >= 0 && self < cells);
}

void RpcCore::set_level(std::uint16_t opcode, RpcLevel level) {
  HIVE_CHECK(opcode > 0 && opcode < rpc_opcodes_max);
  levels_[opcode] = level;
}

RpcLevel RpcCore::level(std::uint16_t opcode) const {
  return opcode < rpc_opcodes_max ? levels_[opcode] : RpcLevel::none;
}

void RpcCore::connect(CellId cell, std::uint64_t incarnation) {
  HIVE_CHECK(is_peer(cell) && incarnation != 0);
  Peer& peer = peers_[static_cast<std::size_t>(cell)];
  if (peer.known_incarnation != incarnation) {
    peer.known_incarnation = incarnation;
    peer.last_sent = 0;
    peer.last_received = 0;
    peer.dropped = 0;
  }
  peer.incarnation.store(incarnation, std::memory_order_release);
}

bool RpcCore::is_connected(CellId cell) const {
  return is_peer(cell) && peers_[static_cast<std::size_t>(cell)].incarnation.load(relaxed) != 0;
}

void RpcCore::mark_down(CellId cell) {
  HIVE_CHECK(is_peer(cell));
  peers_[static_cast<std::size_t>(cell)].incarnation.store(0, std::memory_order_release);
}

// --- the caller's side

void RpcCore::fill(CellId to, RpcKind kind, std::uint16_t opcode, std::uint16_t slot,
                   std::uint64_t id, std::span<const std::byte> body, RpcMessage& out) const {
  const Peer& peer = peers_[static_cast<std::size_t>(to)];
  out.header.id = id;
  out.header.from_incarnation = incarnation_;
  out.header.to_incarnation = static_cast<std::uint32_t>(peer.incarnation.load(relaxed));
  out.header.opcode = opcode;
  out.header.slot = slot;
  out.header.kind = static_cast<std::uint8_t>(kind);
  out.header.status = 0;
  out.header.length = static_cast<std::uint8_t>(body.size());
  out.header.reserved = 0;
  if (!body.empty()) std::memcpy(out.body.data(), body.data(), body.size());
}

Result<void> RpcCore::start(CellId to, std::uint16_t opcode, std::span<const std::byte> body) {
  if (!is_peer(to)) return fail(Code::bad_argument, "there is no such cell", to);
  if (opcode == 0 || opcode >= rpc_opcodes_max) {
    return fail(Code::bad_argument, "an RPC opcode is out of range", to);
  }
  if (body.size() > rpc_body_max) return fail(Code::bad_argument, "an RPC body is too long", to);
  if (!is_connected(to)) return fail(Code::cell_down, "the cell is not in the live set", to);
  return {};
}

Result<RpcTicket> RpcCore::start_call(CellId to, std::uint16_t opcode,
                                      std::span<const std::byte> body, std::uint64_t deadline_ns,
                                      RpcMessage& out) {
  if (auto may = start(to, opcode, body); !may) [[unlikely]] return fail(may.error());
  Peer& peer = peers_[static_cast<std::size_t>(to)];
  for (std::uint16_t tries = 0; tries < calls_per_peer_max; ++tries) {
    const std::uint16_t index = peer.next_slot;
    Slot& slot = peer.slots[index];
    const std::uint32_t state = slot.state.load(std::memory_order_acquire);
    if ((state & phase_mask) != free) [[unlikely]] {
      peer.next_slot = static_cast<std::uint16_t>((index + 1) % calls_per_peer_max);
      continue;
    }
    const std::uint64_t id = ++peer.last_sent;
    slot.id.store(id, relaxed);
    slot.opcode.store(opcode, relaxed);
    slot.deadline_ns.store(deadline_ns, relaxed);
    const std::uint32_t next = with_phase(state + (phase_mask + 1), waiting);
    slot.state.store(next, std::memory_order_release);
    fill(to, RpcKind::request, opcode, index, id, body, out);
    add_one(peer.counters.calls);
    return RpcTicket{to, index, next};
  }
  return fail(Code::exhausted, "too many calls to one cell wait for answers", to);
}

Result<void> RpcCore::start_one_way(CellId to, std::uint16_t opcode,
                                    std::span<const std::byte> body, RpcMessage& out) {
  if (auto may = start(to, opcode, body); !may) [[unlikely]] return fail(may.error());
  Peer& peer = peers_[static_cast<std::size_t>(to)];
  fill(to, RpcKind::one_way, opcode, rpc_no_slot, ++peer.last_sent, body, out);
  return {};
}

void RpcCore::cancel_call(const RpcTicket& ticket) {
  Slot& slot = slot_of(ticket);
  slot.state.store(with_phase(ticket.state, free), std::memory_order_release);
  cancel_one_way(ticket.peer);
}

void RpcCore::cancel_one_way(CellId to) { --peers_[static_cast<std::size_t>(to)].last_sent; }

bool RpcCore::claim(Slot& slot, std::uint32_t state) {
  return slot.state.compare_exchange_strong(state, with_phase(state, completing),
                                            std::memory_order_acq_rel, relaxed);
}

bool RpcCore::end_call(Slot& slot, Code code, std::uint64_t now_ns) {
  // The deadline is read between two looks at the state, whose generation is new for each call.
  const std::uint32_t state = slot.state.load(std::memory_order_acquire);
  if ((state & phase_mask) != waiting || slot.deadline_ns.load(relaxed) > now_ns ||
      !claim(slot, state)) {
    return false;
  }
  slot.status = static_cast<std::uint8_t>(1 + static_cast<std::uint8_t>(code));
  slot.length = 0;
  slot.cause = code == Code::timed_out ? "the cell did not answer in time"
                                       : "the cell failed before it answered";
  slot.state.store(with_phase(state, done), std::memory_order_release);
  return true;
}

int RpcCore::end_calls(CellId peer, Code code, std::uint64_t now_ns) {
  int ended = 0;
  for (Slot& slot : peers_[static_cast<std::size_t>(peer)].slots) {
    ended += end_call(slot, code, now_ns) ? 1 : 0;
  }
  return ended;
}

int RpcCore::on_tick(std::uint64_t now_ns) {
  int ended = 0;
  for (CellId peer = 0; peer < cells_; ++peer) ended += end_calls(peer, Code::timed_out, now_ns);
  return ended;
}

bool RpcCore::expire(const RpcTicket& ticket) {
  if (end_call(slot_of(ticket), Code::timed_out, ~std::uint64_t{0})) {
    counters(ticket.peer).timed_out.fetch_add(1, relaxed);
    return true;
  }
  // Another thread of this cell is copying the answer in: a matter of nanoseconds, or of its next
  // turn on a processor.
  while (!ended(ticket)) std::this_thread::yield();
  return false;
}

Result<RpcReply> RpcCore::take(const RpcTicket& ticket) {
  Slot& slot = slot_of(ticket);
  const std::uint32_t state = slot.state.load(std::memory_order_acquire);
  HIVE_CHECK((state & phase_mask) == done);
  Result<RpcReply> result;
  if (slot.status == 0) [[likely]] {
    result->length = slot.length;
    if (slot.length > 0) std::memcpy(result->bytes.data(), slot.body.data(), slot.length);
  } else if (slot.cause != nullptr) {
    result = fail(static_cast<Code>(slot.status - 1), slot.cause, ticket.peer);
  } else {
    result = fail(remote_error(ticket.peer, slot.status, {slot.body.data(), slot.length}));
  }
  slot.state.store(with_phase(state, free), std::memory_order_release);
  return result;
}

// --- the receiver's side

RpcArrival RpcCore::reject(CellId from, RpcReject reason) {
  counters(from).rejected[static_cast<std::size_t>(reason)].fetch_add(1, relaxed);
  ++peers_[static_cast<std::size_t>(from)].dropped;
  RpcArrival arrival;
  arrival.reason = reason;
  return arrival;
}

void RpcCore::on_garbled(CellId from) {
  if (is_peer(from)) reject(from, RpcReject::garbled);
}

RpcArrival RpcCore::on_message(CellId from, std::span<const std::byte> bytes) {
  HIVE_CHECK(is_peer(from));
  RpcHeader header;
  if (bytes.size() < sizeof header) return reject(from, RpcReject::malformed);
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto body = bytes.subspan(sizeof header);
  if (header.length != body.size() || header.length > rpc_body_max || header.reserved != 0 ||
      header.opcode == 0 || header.opcode >= rpc_opcodes_max) {
    return reject(from, RpcReject::malformed);
  }
  const std::uint64_t sender =
      peers_[static_cast<std::size_t>(from)].incarnation.load(std::memory_order_acquire);
  if (sender == 0) return reject(from, RpcReject::peer_down);
  if (header.from_incarnation != static_cast<std::uint32_t>(sender) ||
      header.to_incarnation != incarnation_) {
    return reject(from, RpcReject::stale);
  }
  switch (static_cast<RpcKind>(header.kind)) {
    case RpcKind::request:
    case RpcKind::one_way:
      return on_request(from, header, body);
    case RpcKind::reply:
      return on_reply(from, header, body);
  }
  return reject(from, RpcReject::malformed);
}

RpcArrival RpcCore::on_request(CellId from, const RpcHeader& header,
                               std::span<const std::byte> body) {
  const bool one_way = static_cast<RpcKind>(header.kind) == RpcKind::one_way;
  if (header.status != 0 || (one_way ? header.slot != rpc_no_slot
                                     : header.slot >= calls_per_peer_max)) {
    return reject(from, RpcReject::malformed);
  }
  Peer& peer = peers_[static_cast<std::size_t>(from)];
  if (options_.check_repeats) {
    if (header.id <= peer.last_received) return reject(from, RpcReject::repeated);
    // One invented id must not put all that follow it into the past. What was dropped may have
    // been requests; twice as many, so that a gap that was too wide after all closes again.
    const std::uint64_t gap_max = id_gap_max + 2 * peer.dropped;
    if (header.id - peer.last_received > gap_max) return reject(from, RpcReject::implausible);
  }
  peer.last_received = header.id;
  peer.dropped = 0;
  add_one(peer.counters.requests);

  RpcArrival arrival;
  arrival.origin = {from, header.opcode, header.slot, header.from_incarnation, header.id};
  arrival.body = body;
  switch (levels_[header.opcode]) {
    case RpcLevel::none: arrival.what = RpcArrival::What::unknown_opcode; break;
    case RpcLevel::interrupt: arrival.what = RpcArrival::What::interrupt; break;
    case RpcLevel::queued: arrival.what = RpcArrival::What::queued; break;
  }
  return arrival;
}

RpcArrival RpcCore::on_reply(CellId from, const RpcHeader& header,
                             std::span<const std::byte> body) {
  if (header.slot >= calls_per_peer_max || header.status > rpc_status_max) {
    return reject(from, RpcReject::malformed);
  }
  Slot& slot = peers_[static_cast<std::size_t>(from)].slots[header.slot];
  // Id and opcode are read between two looks at the state, as in end_call.
  const std::uint32_t state = slot.state.load(std::memory_order_acquire);
  if ((state & phase_mask) != waiting || slot.id.load(relaxed) != header.id ||
      slot.opcode.load(relaxed) != header.opcode || !claim(slot, state)) {
    return reject(from, RpcReject::no_such_call);
  }
  slot.status = header.status;
  slot.length = header.length;
  slot.cause = nullptr;
  if (!body.empty()) std::memcpy(slot.body.data(), body.data(), body.size());
  slot.state.store(with_phase(state, done), std::memory_order_release);
  RpcArrival arrival;
  arrival.what = RpcArrival::What::completed;
  arrival.call = {from, header.slot, state};
  return arrival;
}

void RpcCore::make_reply(const RpcOrigin& origin, const Result<void>& result,
                         const RpcReply& reply, RpcMessage& out) const {
  if (result) [[likely]] {
    fill(origin.from, RpcKind::reply, origin.opcode, origin.slot, origin.id, reply.body(), out);
    return;
  }
  const Error& e = result.error();
  RpcErrorBody detail;
  detail.cause = proto::cause_index(e.cause);
  detail.cell = e.cell;
  detail.sys_errno = e.sys_errno;
  detail.lost_range = e.lost_range;
  fill(origin.from, RpcKind::reply, origin.opcode, origin.slot, origin.id,
       std::as_bytes(std::span(&detail, 1)), out);
  out.header.status = static_cast<std::uint8_t>(1 + static_cast<std::uint8_t>(e.code));
}

bool RpcCore::is_same_life(const RpcOrigin& origin) const {
  if (!is_peer(origin.from)) return false;
  const auto now = peers_[static_cast<std::size_t>(origin.from)].incarnation.load(relaxed);
  return now != 0 && static_cast<std::uint32_t>(now) == origin.incarnation;
}

}  // namespace hive::cell
