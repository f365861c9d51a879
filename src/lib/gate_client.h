// The calling end of one gate: how this task calls one cell. The protocol is in proto/gate.h.
//
// Thread-safe and async-signal-safe: no lock, no memory, and all that it reads of a cell it reads
// with care. The process needs a fault handler that calls safe_copy_fixup(). A call ends in
// bounded time: by its reply, by its deadline and the grace after it, by the death of either cell,
// or because the session is detached.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <hive/error.h>
#include "base/ids.h"
#include "base/spin_policy.h"
#include "lib/call_slots.h"
#include "machine/layout.h"
#include "machine/node_header.h"
#include "proto/gate.h"

namespace hive::lib {

// A sleeper looks by itself this often, so that a cell that forgets to wake it costs time only.
inline constexpr std::uint64_t sleep_slice_ns = 100 * ns_per_ms;

using GateValues = std::array<std::uint64_t, 4>;

struct GateCall {
  proto::GateOp op = proto::GateOp::null;
  std::array<std::uint64_t, 6> args{};
  std::string_view name{};        // at most 63 bytes
  std::uint64_t deadline_ns = 0;  // absolute; 0: call_timeout_ns from now
  // At most gate_data_bytes. Where a fault may come (it lies in a segment), it has been touched
  // just now, and the call may fail with cause_source.
  std::span<const std::byte> data{};
  // For data of the answer. An answer with more is taken for senseless.
  std::span<std::byte> answer{};
};

// What a call looks at beside its own slot. All of it outlives the client.
struct GateSurroundings {
  CellId self = -1;                                    // the task's own cell
  CellId server = -1;                                  // the cell that is called
  const machine::NodeHeader* own_header = nullptr;     // read with care
  const machine::NodeHeader* server_header = nullptr;  // read with care
  const proto::GateReplies* replies = nullptr;         // in the server's kernel memory
  const machine::Layout* layout = nullptr;             // null: answers have no data
  proto::GateRequests* requests = nullptr;             // in our own
  int doorbell = -1;
  const std::atomic<std::uint32_t>* closing = nullptr;  // not zero: calls end with `refused`
  SpinPolicy* spin = nullptr;
};

class GateClient {
 public:
  explicit GateClient(const GateSurroundings& surroundings) noexcept : with_(surroundings) {}
  GateClient(const GateClient&) = delete;
  GateClient& operator=(const GateClient&) = delete;

  // Errors: what the cell answers; cell_down; timed_out (it may still happen); exhausted (no
  // slot); corrupt (a senseless reply); refused (detached). When the memory of the task's own cell
  // cannot be read any longer, the task ends with a message.
  Result<GateValues> call(const GateCall& call) noexcept;

  // Whether the server may be called: in the live set, and its lifeline is not marked.
  Result<void> check_server() const noexcept;

  int slots_in_use() const noexcept { return slots_.in_use(); }
  int slots_retired() const noexcept { return slots_.retired(); }

 private:
  enum class Look : std::uint8_t { not_yet, replied, garbage, unreadable };

  Result<int> claim_slot(const GateCall& call, std::uint64_t deadline_ns) noexcept;
  bool copy_data(int slot, std::span<const std::byte> data) noexcept;
  std::uint32_t post(int slot, const GateCall& call, std::uint64_t deadline_ns) noexcept;
  void ring_doorbell() const noexcept;
  Result<void> wait_for_reply(int slot, std::uint32_t sequence, std::uint64_t give_up_ns) noexcept;
  Result<void> check_wait(Look look, std::uint64_t give_up_ns) const noexcept;
  void sleep(int slot, std::uint32_t before, std::uint32_t epoch,
             std::uint64_t give_up_ns) const noexcept;
  Look look(int slot, std::uint32_t sequence) const noexcept;
  Result<GateValues> take_reply(int slot, std::uint32_t sequence,
                                std::span<std::byte> answer) const noexcept;
  Result<void> take_data(const GateValues& values, std::span<std::byte> answer) const noexcept;
  std::uint32_t own_epoch() const noexcept;
  Failure failed(Code code, const char* cause, int cell) const noexcept;

  const GateSurroundings with_;
  CallSlots slots_;
  // The last request posted in each slot. Written by who has claimed the slot.
  std::array<std::atomic<std::uint32_t>, proto::gate_slots> sequences_{};
};

// Ends this process because it cannot go on without its own cell. Async-signal-safe.
[[noreturn]] void end_task_without_cell(CellId cell) noexcept;

}  // namespace hive::lib
