#include "cell/gate/gate.h"

#include <algorithm>
#include <bit>

#include "base/futex.h"
#include "machine/layout.h"
#include "proto/causes.h"

namespace hive::cell {

using proto::gate_slots;

Result<std::shared_ptr<Gate>> Gate::create(TaggedHeap& heap, CellId self, ClientId client,
                                           RequestPages requests) {
  TaggedReplies* replies = heap.create<TaggedReplies>();
  if (replies == nullptr) return fail(Code::exhausted, proto::cause::task_limit, self);
  return std::shared_ptr<Gate>(new Gate(heap, self, client, std::move(requests), replies));
}

Gate::~Gate() {
  for (const AnswerData& data : answer_data_) heap_.destroy_sized(data.block, data.bytes);
  heap_.destroy(replies_);
}

std::span<std::byte> Gate::answer_data(std::uint32_t slot, std::size_t bytes) noexcept {
  constexpr std::size_t head = sizeof(TaggedAnswerData);
  constexpr std::size_t least = machine::page_bytes;
  AnswerData& data = answer_data_[slot];
  bytes = std::min<std::size_t>(bytes, proto::gate_answer_bytes_max);
  if (data.block == nullptr || data.bytes - head < bytes) {
    // Powers of two, as the heap has them anyway.
    const std::size_t whole = std::max(std::bit_ceil(bytes + head), least);
    TaggedAnswerData* const block = heap_.create_sized<TaggedAnswerData>(whole);
    if (block != nullptr) {
      heap_.destroy_sized(data.block, data.bytes);
      data = {block, whole};
    }
  }
  if (data.block == nullptr) return {};
  auto* const begin = reinterpret_cast<std::byte*>(data.block) + head;
  return {begin, std::min(bytes, data.bytes - head)};
}

std::uint64_t Gate::replies_address() const {
  return reinterpret_cast<std::uintptr_t>(&replies_->replies);
}

std::uint32_t Gate::slots_used() const noexcept {
  std::uint32_t used = 0;
  return requests_.slots_used(used) ? std::min(used, gate_slots) : 0;
}

bool Gate::is_new(std::uint32_t slot, std::uint32_t& posted) const noexcept {
  return requests_.posted(slot, posted) &&
         posted != taken_[slot].load(std::memory_order_relaxed) &&
         working_[slot].load(std::memory_order_acquire) == 0;
}

bool Gate::has_mail() const noexcept {
  if (claimed_.load(std::memory_order_relaxed) || retired_.load(std::memory_order_acquire)) {
    return false;
  }
  const std::uint32_t used = slots_used();
  for (std::uint32_t slot = 0; slot < used; ++slot) {
    std::uint32_t posted = 0;
    if (is_new(slot, posted)) return true;
  }
  return false;
}

bool Gate::take(std::uint32_t from_slot, TakenRequest& out) noexcept {
  if (retired_.load(std::memory_order_acquire)) return false;
  const std::uint32_t used = slots_used();
  for (std::uint32_t slot = from_slot; slot < used; ++slot) {
    std::uint32_t posted = 0;
    if (!is_new(slot, posted)) continue;
    const std::uint32_t before = taken_[slot].load(std::memory_order_relaxed);
    taken_[slot].store(posted, std::memory_order_relaxed);
    working_[slot].store(under_way | posted, std::memory_order_relaxed);
    out.slot = slot;
    out.sequence = posted;
    out.sound = requests_.copy(slot, out.request) && posted == before + 1;
    if (!out.sound) count_garbage();
    return true;
  }
  return false;
}

Result<GateValues> Gate::view_answer(std::uint32_t slot, const ViewBlock& block) noexcept {
  if (block.show == 0) return GateValues{};
  const auto bytes = std::as_bytes(std::span(block.frames));
  const auto to = answer_data(slot, bytes.size());
  if (to.size() < bytes.size()) {
    return fail(Code::exhausted, proto::cause::too_many_waiting, self_, ENOMEM);
  }
  std::ranges::copy(bytes, to.begin());
  return GateValues{block.show, 0, bytes.size(), reinterpret_cast<std::uintptr_t>(to.data())};
}

void Gate::answer(std::uint32_t slot, std::uint32_t sequence,
                  const Result<GateValues>& result) noexcept {
  std::uint64_t expected = under_way | sequence;
  proto::GateReply& reply = replies_->replies.slots[slot];
  // Claimed for answering first: the slot stays out of sight of the workers until it is 0.
  if (!working_[slot].compare_exchange_strong(expected, under_way << 1,
                                              std::memory_order_acq_rel)) {
    return;
  }
  fill(reply, result);
  working_[slot].store(0, std::memory_order_release);
  reply.sequence.store(sequence, std::memory_order_release);
  // Either we see that the task sleeps, or it sees the answer before it falls asleep.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::uint32_t sleeping = 0;
  if (requests_.sleeping(slot, sleeping) && sleeping != 0) futex_wake(&reply.sequence, 1);
}

void Gate::fill(proto::GateReply& reply, const Result<GateValues>& result) const noexcept {
  reply.failed = result ? 0 : 1;
  if (result) {
    reply.values = *result;
    return;
  }
  const Error& e = result.error();
  reply.code = static_cast<std::uint8_t>(e.code);
  reply.cause = proto::cause_index(e.cause);
  // What RPC says of another cell has no line of its own here.
  if (reply.cause == 0 && e.code == Code::timed_out) {
    reply.cause = proto::cause_index(proto::cause::cell_silent);
  }
  reply.cell = e.cell >= 0 ? e.cell : static_cast<std::int16_t>(self_);
  reply.sys_errno = e.sys_errno;
  reply.values = {e.lost_range.offset, e.lost_range.length, 0, 0};
}

}  // namespace hive::cell
