#include "cell/files/home_orders.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "cell/boot/opcodes.h"

namespace hive::cell {
namespace {

constexpr std::uint64_t message_timeout_ns = 5 * ns_per_s;
// How long after its deadline an order that was begun may still be answered.
constexpr std::uint64_t grace_ns = 10 * ns_per_s;
constexpr auto live_poll = std::chrono::milliseconds(50);

bool is_kind(std::uint8_t kind) {
  return kind >= static_cast<std::uint8_t>(FileOrderKind::make) &&
         kind <= static_cast<std::uint8_t>(FileOrderKind::is_claimed);
}

}  // namespace

HomeOrders::HomeOrders(CellId self, const machine::Layout& layout, TaggedHeap& heap,
                       RpcEndpoint& rpc, IsLive is_live, CarryOut carry_out)
    : self_(self),
      layout_(layout),
      heap_(heap),
      rpc_(rpc),
      is_live_(std::move(is_live)),
      carry_out_(std::move(carry_out)) {}

void HomeOrders::serve() {
  rpc_.serve(op_file_order, RpcLevel::queued,
             [this](const RpcRequest& request, RpcReply&) { return take(request); });
  rpc_.serve(op_file_done, RpcLevel::queued,
             [this](const RpcRequest& request, RpcReply&) { return end(request); });
}

Result<std::uint64_t> HomeOrders::give(CellId to, const FileOrder& order) {
  if (!is_live_(to)) return fail_errno(EHOSTDOWN);
  OrderBody body;
  body.deadline_ns = now_ns() + file_order_timeout_ns;
  body.number = order.entry.number;
  body.directory = order.directory;
  body.mode = order.mode;
  body.kind = static_cast<std::uint8_t>(order.kind);
  body.entry_kind = static_cast<std::uint8_t>(order.entry.kind);
  body.entry_home = static_cast<std::uint8_t>(order.entry.home);
  TaggedName* name = nullptr;
  if (!order.name.empty()) {
    name = heap_.create<TaggedName>();
    if (name == nullptr) return fail_errno(ENOMEM);
    name->length = static_cast<std::uint32_t>(order.name.size());
    order.name.copy(name->text.data(), name->text.size());
    body.name_address = reinterpret_cast<std::uintptr_t>(name);
  }
  {
    const std::scoped_lock lock(mutex_);
    body.ticket = ++last_ticket_;
    waiting_[body.ticket] = {.cell = to, .done = false, .outcome = {}};
  }
  const auto taken =
      rpc_.call(to, op_file_order, std::as_bytes(std::span(&body, 1)), message_timeout_ns);
  // The name was read before the answer; or never will be, since the tag goes.
  heap_.destroy(name);
  if (taken || taken.error().code == Code::timed_out) {
    return await(body.ticket, to, body.deadline_ns + grace_ns);
  }
  const std::scoped_lock lock(mutex_);
  waiting_.erase(body.ticket);
  return fail_errno(taken.error().code == Code::cell_down ? EHOSTDOWN : EAGAIN);
}

Result<std::uint64_t> HomeOrders::await(std::uint64_t ticket, CellId to,
                                        std::uint64_t deadline_ns) {
  std::unique_lock lock(mutex_);
  while (!waiting_[ticket].done && is_live_(to) && now_ns() < deadline_ns && !lane_.stopped()) {
    changed_.wait_for(lock, live_poll);
  }
  const Waiting waited = waiting_[ticket];
  waiting_.erase(ticket);
  if (!waited.done) return fail_errno(is_live_(to) ? ETIMEDOUT : EHOSTDOWN);
  if (waited.outcome.error != 0) return fail_errno(waited.outcome.error);
  return waited.outcome.value;
}

Result<void> HomeOrders::end(const RpcRequest& request) {
  DoneBody body;
  if (!request.get(body)) return fail(Code::bad_argument, proto::cause::senseless_request);
  const std::scoped_lock lock(mutex_);
  const auto found = waiting_.find(body.ticket);
  if (found == waiting_.end() || found->second.cell != request.from) return {};
  found->second.done = true;
  found->second.outcome = {body.error >= 0 && body.error < 4096 ? body.error : EIO, body.value};
  changed_.notify_all();
  return {};
}

// On a server of RPC: only what is quick.
Result<void> HomeOrders::take(const RpcRequest& request) {
  OrderBody body;
  if (!request.get(body) || !is_kind(body.kind) || !proto::is_file_kind(body.entry_kind) ||
      body.entry_home >= layout_.cells) {
    return fail(Code::bad_argument, proto::cause::senseless_request);
  }
  FileOrder order;
  order.kind = static_cast<FileOrderKind>(body.kind);
  order.entry = {static_cast<FileKind>(body.entry_kind), static_cast<CellId>(body.entry_home),
                 body.number};
  order.mode = body.mode;
  order.directory = body.directory;
  if (body.name_address != 0) {
    auto name = read_name(request.from, body.name_address);
    if (!name) return fail(name.error());
    order.name = std::move(*name);
  }
  const bool posted =
      lane_.post([this, from = request.from, ticket = body.ticket, deadline_ns = body.deadline_ns,
                  order = std::move(order)] { carry_out(from, ticket, deadline_ns, order); });
  if (posted) return {};
  return fail(Code::exhausted, proto::cause::too_many_waiting, self_);
}

Result<std::string> HomeOrders::read_name(CellId from, std::uint64_t address) const {
  const auto name = CarefulReader(layout_, from).read<TaggedName>(address);
  if (!name) return fail(name.error());
  const std::size_t length = (*name)->length;
  if (length > proto::file_name_max) {
    return fail(Code::corrupt, proto::cause::senseless_request, from);
  }
  return std::string((*name)->text.data(), length);
}

void HomeOrders::carry_out(CellId from, std::uint64_t ticket, std::uint64_t deadline_ns,
                           const FileOrder& order) {
  const Outcome outcome = now_ns() < deadline_ns ? carry_out_(from, order) : Outcome{ETIMEDOUT, 0};
  const DoneBody body{ticket, outcome.value, outcome.error, 0};
  // Whoever has asked asks again when this gets lost.
  (void)rpc_.call(from, op_file_done, std::as_bytes(std::span(&body, 1)), message_timeout_ns);
}

}  // namespace hive::cell
