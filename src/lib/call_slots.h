// Who uses which slot of a gate. Lock-free and async-signal-safe, because page faults call too.
//
//   free --claim--> claimed --release--> free
//                      \--retire--> retired --revive, once its late reply is there--> free
//
// A call that is given up leaves its slot retired: the cell may still answer it, and the next call
// in the slot must not take that answer for its own.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "base/futex.h"
#include "proto/gate.h"

namespace hive::lib {

static_assert(proto::gate_slots == 32, "a slot is a bit of a word");

// Calls that wait for other tasks may use only the lower slots, so that page faults and everything
// else that the cell answers at once get through when many threads wait.
inline constexpr std::uint32_t waiting_slots = 0x00ffffff;
inline constexpr std::uint32_t all_slots = 0xffffffff;

class CallSlots {
 public:
  // A slot of `allowed`, or -1 when all of them are in use.
  int claim(std::uint32_t allowed) noexcept {
    std::uint32_t used = claimed_.load(std::memory_order_relaxed);
    while (true) {
      const std::uint32_t free = ~used & allowed;
      if (free == 0) return -1;
      const int slot = std::countr_zero(free);
      // Acquire: the last user's look at the reply comes before ours.
      if (claimed_.compare_exchange_weak(used, used | bit(slot), std::memory_order_acq_rel)) {
        return slot;
      }
    }
  }
  void release(int slot) noexcept {
    claimed_.fetch_and(~bit(slot), std::memory_order_seq_cst);
    if (waiters_.load(std::memory_order_seq_cst) != 0) futex_wake(&claimed_, 1 << 20);
  }
  void retire(int slot) noexcept { retired_.fetch_or(bit(slot), std::memory_order_acq_rel); }

  // Frees every retired slot for which answered(slot) holds.
  template <class Answered>
  void revive(Answered answered) noexcept {
    std::uint32_t left = retired_.load(std::memory_order_acquire);
    while (left != 0) {
      const int slot = std::countr_zero(left);
      left &= left - 1;
      if (!answered(slot)) continue;
      // Of several that see the answer, the one that clears the bit frees the slot.
      if (retired_.fetch_and(~bit(slot), std::memory_order_acq_rel) & bit(slot)) release(slot);
    }
  }

  // Sleeps until a slot may have become free.
  void wait_for_release(std::uint32_t allowed, std::uint64_t deadline_ns) noexcept {
    waiters_.fetch_add(1, std::memory_order_seq_cst);
    const std::uint32_t seen = claimed_.load(std::memory_order_seq_cst);
    if ((~seen & allowed) == 0) futex_wait(&claimed_, seen, deadline_ns);
    waiters_.fetch_sub(1, std::memory_order_seq_cst);
  }

  int in_use() const noexcept { return std::popcount(claimed_.load()); }
  int retired() const noexcept { return std::popcount(retired_.load()); }

 private:
  static constexpr std::uint32_t bit(int slot) { return std::uint32_t{1} << slot; }

  std::atomic<std::uint32_t> claimed_{0};  // of any use, also the retired; a futex
  std::atomic<std::uint32_t> retired_{0};  // a subset of claimed_
  std::atomic<std::uint32_t> waiters_{0};
};

}  // namespace hive::lib
