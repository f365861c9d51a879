// Locks for what takes about a microsecond.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "base/time.h"

namespace hive::cell {

class SpinLock {
 public:
  bool try_lock() noexcept {
    return !held_.load(std::memory_order_relaxed) &&
           !held_.exchange(true, std::memory_order_acquire);
  }
  void lock() noexcept {
    constexpr int spins_max = 200;  // then the holder has likely lost its processor
    for (int spins = 0; !try_lock(); ++spins) {
      if (spins < spins_max) {
        cpu_relax();
      } else {
        std::this_thread::yield();
      }
    }
  }
  void unlock() noexcept { held_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> held_{false};
};

// The role of receiving from one peer. Who fails to get it because another has it leaves a mark,
// and relies on the holder to look for mail once more: so no message that anybody saw is
// forgotten.
class ReceiveRole {
 public:
  bool try_take() noexcept {
    for (;;) {  // ends: each change of the word by another thread is a step of that thread
      std::uint32_t state = state_.load(std::memory_order_relaxed);
      if (state == free) {
        if (state_.compare_exchange_weak(state, held, std::memory_order_seq_cst)) return true;
      } else if (state_.compare_exchange_weak(state, wanted, std::memory_order_seq_cst)) {
        return false;
      }
    }
  }
  // True: somebody wanted it meanwhile; take it and look again.
  [[nodiscard]] bool give_up() noexcept {
    return state_.exchange(free, std::memory_order_seq_cst) == wanted;
  }

 private:
  static constexpr std::uint32_t free = 0;
  static constexpr std::uint32_t held = 1;
  static constexpr std::uint32_t wanted = 2;  // held, and somebody saw mail
  std::atomic<std::uint32_t> state_{free};
};

}  // namespace hive::cell
