// The task's end of a gate, as small as a test can do with: one call at a time for each slot.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include <unistd.h>

#include <hive/error.h>
#include "base/futex.h"
#include "base/safe_copy.h"
#include "base/time.h"
#include "proto/causes.h"
#include "proto/gate.h"

namespace hive::cell::test {

struct Values {
  std::array<std::uint64_t, 4> v{};
};

class GateCaller {
 public:
  GateCaller(proto::GateRequests* requests, const proto::GateReplies* replies,
             const std::atomic<std::uint32_t>* server_asleep, int doorbell)
      : requests_(requests), replies_(replies), asleep_(server_asleep), doorbell_(doorbell) {}

  void post(std::uint32_t slot, proto::GateOp op, std::array<std::uint64_t, 6> args = {},
            std::string_view name = {}, std::uint64_t deadline_ns = 0) {
    proto::GateRequest& request = requests_->slots[slot];
    request.op = op;
    request.args = args;
    request.deadline_ns = deadline_ns;
    request.name = {};
    name.copy(request.name.data(), request.name.size() - 1);
    request.sleeping.store(0);
    if (requests_->slots_used.load() <= slot) requests_->slots_used.store(slot + 1);
    requests_->posted[slot].fetch_add(1, std::memory_order_release);
    ring();
  }
  void ring() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const std::uint64_t one = 1;
    if (asleep_->load() != 0) {
      [[maybe_unused]] const auto written = ::write(doorbell_, &one, sizeof one);
    }
  }
  bool is_answered(std::uint32_t slot) const {
    return replies_->slots[slot].sequence.load(std::memory_order_acquire) ==
           requests_->posted[slot].load(std::memory_order_relaxed);
  }
  // Code::timed_out with the cause "no answer" when nothing comes.
  Result<Values> wait(std::uint32_t slot, std::uint64_t for_ns = 20 * ns_per_s) {
    const std::uint64_t give_up = now_ns() + for_ns;
    const proto::GateReply& reply = replies_->slots[slot];
    for (int spins = 0; spins < 2000 && !is_answered(slot); ++spins) cpu_relax();
    requests_->slots[slot].sleeping.store(1);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    while (!is_answered(slot)) {
      if (now_ns() >= give_up) return fail(Code::timed_out, "no answer");
      futex_wait(&reply.sequence, requests_->posted[slot].load() - 1, give_up);
    }
    proto::GateReply copy;  // as a task does; ThreadSanitizer sees this no more than the server
    if (!safe_copy(&copy, &reply, sizeof copy)) return fail(Code::corrupt, "unreadable");
    if (copy.failed == 0) return Values{copy.values};
    Error e = error(static_cast<Code>(copy.code), proto::cause_text(copy.cause), copy.cell,
                    copy.sys_errno);
    if (e.code == Code::lost) e.lost_range = {copy.values[0], copy.values[1]};
    return fail(e);
  }
  Result<Values> call(proto::GateOp op, std::array<std::uint64_t, 6> args = {},
                      std::string_view name = {}, std::uint32_t slot = 0) {
    post(slot, op, args, name, now_ns() + 10 * ns_per_s);
    return wait(slot);
  }

 private:
  proto::GateRequests* requests_;
  const proto::GateReplies* replies_;
  const std::atomic<std::uint32_t>* asleep_;
  int doorbell_;
};

}  // namespace hive::cell::test
