// A lock for what takes less than a microsecond.
#pragma once

#include <atomic>
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
  // As unlock(), and what is loaded after it is no older than the unlocking: whoever failed to get
  // the lock before may rely on its holder to look once more.
  void unlock_and_fence() noexcept { held_.exchange(false, std::memory_order_seq_cst); }

 private:
  std::atomic<bool> held_{false};
};

}  // namespace hive::cell
