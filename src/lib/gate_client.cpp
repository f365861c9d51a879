#include "lib/gate_client.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>

#include <unistd.h>

#include "base/safe_copy.h"
#include "lib/causes.h"
#include "lib/deadline.h"
#include "lib/program_signals.h"
#include "lib/signal_text.h"
#include "machine/linux/lifeline.h"
#include "proto/causes.h"

namespace hive::lib {
namespace {

bool waits_for_others(proto::GateOp op) {
  return op == proto::GateOp::barrier_arrive || op == proto::GateOp::queue_take ||
         op == proto::GateOp::queue_next;
}

// For the rare case that Linux cannot wait on the words that we have.
void nap(std::uint64_t deadline_ns) noexcept {
  static const std::atomic<std::uint32_t> never{0};
  futex_wait(&never, 0, std::min(deadline_ns, now_ns() + ns_per_ms));
}

}  // namespace

void end_task_without_cell(CellId cell) noexcept {
  SignalText()
      .add("hive: the memory of cell ")
      .decimal(static_cast<std::uint64_t>(cell))
      .add(", to which this task belongs, has failed; the task ends")
      .print();
  die_of(SIGBUS);
}

Result<GateValues> GateClient::call(const GateCall& call) noexcept {
  const std::uint64_t deadline_ns =
      call.deadline_ns != 0 ? call.deadline_ns : deadline_in(call_timeout_ns);
  if (auto up = check_server(); !up) return fail(up.error());
  const auto slot = claim_slot(call, deadline_ns);
  if (!slot) return fail(slot.error());
  if (!copy_data(*slot, call.data)) {
    slots_.release(*slot);
    return failed(Code::lost, cause_source, with_.server);
  }
  const std::uint32_t sequence = post(*slot, call, deadline_ns);
  ring_doorbell();
  if (auto came = wait_for_reply(*slot, sequence, deadline_ns + proto::gate_reply_grace_ns);
      !came) {
    slots_.retire(*slot);
    return fail(came.error());
  }
  auto values = take_reply(*slot, sequence, call.answer);
  slots_.release(*slot);
  return values;
}

Result<void> GateClient::check_server() const noexcept {
  std::uint64_t live = 0;
  if (!safe_load64(&with_.own_header->live_set, live)) end_task_without_cell(with_.self);
  if (!CellSet(live).has(with_.server))
    return failed(Code::cell_down, cause_cell_failed, with_.server);
  switch (machine::read_lifeline(with_.server_header, with_.self)) {
    case machine::LifelineState::alive:
      return {};
    case machine::LifelineState::marked:
      break;
    case machine::LifelineState::unreadable:
      return failed(Code::cell_down, cause_memory_failed, with_.server);
  }
  return failed(Code::cell_down, cause_cell_failed, with_.server);
}

Result<int> GateClient::claim_slot(const GateCall& call, std::uint64_t deadline_ns) noexcept {
  const std::uint32_t allowed = waits_for_others(call.op) ? waiting_slots : all_slots;
  while (true) {
    slots_.revive([this](int slot) {
      const auto i = static_cast<std::size_t>(slot);
      return look(slot, sequences_[i].load(std::memory_order_relaxed)) == Look::replied;
    });
    if (const int slot = slots_.claim(allowed); slot >= 0) return slot;
    if (with_.closing->load() != 0) return failed(Code::refused, cause_detached, with_.server);
    const std::uint64_t now = now_ns();
    if (now >= deadline_ns) return failed(Code::exhausted, cause_slots, with_.server);
    slots_.wait_for_release(allowed, std::min(deadline_ns, now + sleep_slice_ns));
  }
}

bool GateClient::copy_data(int slot, std::span<const std::byte> data) noexcept {
  if (data.empty()) return true;
  auto* const to = reinterpret_cast<std::byte*>(with_.requests) + proto::gate_data_offset +
                   static_cast<std::size_t>(slot) * proto::gate_data_bytes;
  return safe_copy(to, data.data(), std::min<std::size_t>(data.size(), proto::gate_data_bytes));
}

std::uint32_t GateClient::post(int slot, const GateCall& call,
                               std::uint64_t deadline_ns) noexcept {
  const auto i = static_cast<std::size_t>(slot);
  proto::GateRequest& request = with_.requests->slots[i];
  request.op = call.op;
  request.args = call.args;
  request.deadline_ns = deadline_ns;
  const std::size_t length = std::min(call.name.size(), request.name.size() - 1);
  std::copy_n(call.name.data(), length, request.name.data());
  std::fill(request.name.begin() + static_cast<std::ptrdiff_t>(length), request.name.end(), '\0');
  request.sleeping.store(0, std::memory_order_relaxed);
  const std::uint32_t sequence = sequences_[i].load(std::memory_order_relaxed) + 1;
  sequences_[i].store(sequence, std::memory_order_relaxed);
  auto& used = with_.requests->slots_used;
  std::uint32_t highest = used.load(std::memory_order_relaxed);
  while (highest <= i && !used.compare_exchange_weak(highest, static_cast<std::uint32_t>(i) + 1)) {
  }
  with_.requests->posted[i].store(sequence, std::memory_order_release);
  return sequence;
}

void GateClient::ring_doorbell() const noexcept {
  // The cell stores gate_asleep, fences and looks at the requests; we the other way round. One of
  // the two sees the other.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::uint32_t asleep = 0;
  if (!safe_load32(&with_.server_header->gate_asleep, asleep) || asleep == 0) return;
  const int saved = errno;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(with_.doorbell, &one, sizeof one);
  errno = saved;
}

Result<void> GateClient::wait_for_reply(int slot, std::uint32_t sequence,
                                        std::uint64_t give_up_ns) noexcept {
  const bool done = with_.spin->spin([&] { return look(slot, sequence) != Look::not_yet; });
  if (done && look(slot, sequence) == Look::replied) return {};

  with_.requests->slots[static_cast<std::size_t>(slot)].sleeping.store(1,
                                                                       std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  while (true) {
    // The epoch first: if it changes after the checks, the sleep below ends at once.
    const std::uint32_t epoch = own_epoch();
    const Look seen = look(slot, sequence);
    if (seen == Look::replied) return {};
    if (auto go_on = check_wait(seen, give_up_ns); !go_on) return go_on;
    sleep(slot, sequence - 1, epoch, give_up_ns);
  }
}

Result<void> GateClient::check_wait(Look look, std::uint64_t give_up_ns) const noexcept {
  if (look == Look::garbage) return failed(Code::corrupt, cause_bad_reply, with_.server);
  if (look == Look::unreadable) return failed(Code::cell_down, cause_memory_failed, with_.server);
  if (auto up = check_server(); !up) return up;
  if (with_.closing->load() != 0) return failed(Code::refused, cause_detached, with_.server);
  if (now_ns() >= give_up_ns) return failed(Code::timed_out, cause_no_answer, with_.server);
  return {};
}

void GateClient::sleep(int slot, std::uint32_t before, std::uint32_t epoch,
                       std::uint64_t give_up_ns) const noexcept {
  const std::uint64_t until = std::min(give_up_ns, now_ns() + sleep_slice_ns);
  const auto* reply = &with_.replies->slots[static_cast<std::size_t>(slot)].sequence;
  const std::array<FutexWord, 3> words = {
      {{reply, before}, {&with_.own_header->epoch_word, epoch}, {with_.closing, 0}}};
  if (futex_wait_any(words, until) == FutexWait::fault) nap(until);
}

GateClient::Look GateClient::look(int slot, std::uint32_t sequence) const noexcept {
  std::uint32_t answered = 0;
  const auto& reply = with_.replies->slots[static_cast<std::size_t>(slot)];
  if (!safe_load32(&reply.sequence, answered)) return Look::unreadable;
  if (answered == sequence) return Look::replied;
  return answered == sequence - 1 ? Look::not_yet : Look::garbage;
}

Result<GateValues> GateClient::take_reply(int slot, std::uint32_t sequence,
                                          std::span<std::byte> answer) const noexcept {
  proto::GateReply reply;
  if (!safe_copy(&reply, &with_.replies->slots[static_cast<std::size_t>(slot)], sizeof reply)) {
    return failed(Code::cell_down, cause_memory_failed, with_.server);
  }
  if (reply.sequence.load(std::memory_order_relaxed) != sequence || reply.failed > 1 ||
      !is_code(reply.code)) {
    return failed(Code::corrupt, cause_bad_reply, with_.server);
  }
  if (reply.failed == 0) {
    if (answer.empty()) return reply.values;
    if (auto taken = take_data(reply.values, answer); !taken) return fail(taken.error());
    return reply.values;
  }
  const bool named = reply.cell >= 0 && reply.cell < max_cells;
  Error e = error(static_cast<Code>(reply.code), proto::cause_text(reply.cause),
                  named ? reply.cell : with_.server, reply.sys_errno);
  if (e.code == Code::lost) e.lost_range = {reply.values[0], reply.values[1]};
  e.epoch = own_epoch();
  return fail(e);
}

// Where the data lies is what the other cell says.
Result<void> GateClient::take_data(const GateValues& values,
                                   std::span<std::byte> answer) const noexcept {
  const std::uint64_t bytes = values[2];
  const std::uint64_t address = values[3];
  if (bytes == 0) return {};
  if (with_.layout == nullptr || bytes > answer.size() ||
      !with_.layout->in_kernel(with_.server, address) ||
      !with_.layout->in_kernel(with_.server, address + bytes - 1)) {
    return failed(Code::corrupt, cause_bad_reply, with_.server);
  }
  if (safe_copy(answer.data(), reinterpret_cast<const void*>(address), bytes)) return {};
  return failed(Code::cell_down, cause_memory_failed, with_.server);
}

std::uint32_t GateClient::own_epoch() const noexcept {
  std::uint32_t epoch = 0;
  if (!safe_load32(&with_.own_header->epoch_word, epoch)) end_task_without_cell(with_.self);
  return epoch;
}

Failure GateClient::failed(Code code, const char* cause, int cell) const noexcept {
  Error e = error(code, cause, cell);
  std::uint64_t epoch = 0;
  if (safe_load64(&with_.own_header->epoch, epoch)) e.epoch = epoch;
  return fail(e);
}

}  // namespace hive::lib
