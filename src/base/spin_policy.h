// Whether a wait may begin by spinning. Spinning is the fastest way to wait on a processor of
// one's own and the slowest on a shared one, where it only keeps the answer away. Nobody tells us
// which it is, so it is tried, and given up for a while when it does not pay: when time jumps
// between two looks at the clock, which means that somebody else wants the processor, or when
// several waits in a row got nothing for it (one that gets nothing is just the end of a burst).
#pragma once

#include <atomic>
#include <cstdint>

#include "base/time.h"

namespace hive {

inline constexpr std::uint64_t spin_max_ns = 50 * ns_per_us;
inline constexpr std::uint64_t spin_held_up_ns = 30 * ns_per_us;  // between two looks at the clock
inline constexpr std::uint64_t spin_pause_ns = 10 * ns_per_ms;    // without spinning
inline constexpr std::uint64_t spin_request_gap_max_ns = 100 * ns_per_us;
inline constexpr std::uint32_t spin_failures_max = 3;  // in a row
inline constexpr int spins_per_look = 16;  // at the clock, which costs as much as a few spins

// Shared by threads and signal handlers; all of it is advice.
class SpinPolicy {
 public:
  SpinPolicy() = default;
  // Not allowed: never spins, as where there is one processor only.
  explicit SpinPolicy(bool allowed) noexcept : allowed_(allowed), paused_(!allowed) {}

  // Costs a load while spinning works.
  bool may_spin() const noexcept { return !paused_.load(std::memory_order_relaxed); }
  // To be asked when may_spin() says no.
  bool try_again(std::uint64_t now_ns) noexcept {
    if (!allowed_ || now_ns < paused_until_ns_.load(std::memory_order_relaxed)) return false;
    failures_.store(spin_failures_max - 1, std::memory_order_relaxed);  // one chance
    paused_.store(false, std::memory_order_relaxed);
    return true;
  }
  void succeeded() noexcept {
    if (failures_.load(std::memory_order_relaxed) == 0) return;  // the line stays shared
    failures_.store(0, std::memory_order_relaxed);
  }
  void got_nothing(std::uint64_t now_ns) noexcept {
    const auto failures = failures_.load(std::memory_order_relaxed) + 1;
    failures_.store(failures, std::memory_order_relaxed);
    if (failures >= spin_failures_max) held_up(now_ns);
  }
  void held_up(std::uint64_t now_ns) noexcept {
    paused_until_ns_.store(now_ns + spin_pause_ns, std::memory_order_relaxed);
    paused_.store(true, std::memory_order_relaxed);
  }

  // Looks until done() or until it is not worth it any longer. Returns the last done().
  template <class Done>
  bool spin(Done done) noexcept {
    if (done()) return true;
    const std::uint64_t began = now_ns();
    if (!may_spin() && !try_again(began)) return false;
    for (std::uint64_t looked = began;;) {  // ends after spin_max_ns
      for (int i = 0; i < spins_per_look; ++i) {
        cpu_relax();
        if (done()) {
          succeeded();
          return true;
        }
      }
      const std::uint64_t now = now_ns();
      if (now - looked > spin_held_up_ns) {
        held_up(now);
        return done();
      }
      if (now - began > spin_max_ns) {
        got_nothing(now);
        return done();
      }
      looked = now;
    }
  }

 private:
  const bool allowed_ = true;
  std::atomic<bool> paused_{false};
  std::atomic<std::uint32_t> failures_{0};
  std::atomic<std::uint64_t> paused_until_ns_{0};
};

// The same for a server that waits for the next request: it pays only where requests come one upon
// the other. One thread at a time.
class ServerSpin {
 public:
  explicit ServerSpin(bool allowed = true) noexcept : policy_(allowed) {}

  // A request was served.
  void served(std::uint64_t now_ns) noexcept {
    gap_ns_ = now_ns - last_ns_;
    last_ns_ = now_ns;
    if (looked_ns_ != 0) policy_.succeeded();
    looked_ns_ = 0;
  }
  // Nothing was found. True: look again. False: sleep.
  bool look_again(std::uint64_t now_ns) noexcept {
    if (gap_ns_ > spin_request_gap_max_ns) return stop();
    if (!policy_.may_spin() && !policy_.try_again(now_ns)) return stop();
    if (looked_ns_ != 0 && now_ns - looked_ns_ > spin_held_up_ns) {
      policy_.held_up(now_ns);
      return stop();
    }
    if (now_ns - last_ns_ > spin_max_ns) {
      if (looked_ns_ != 0) policy_.got_nothing(now_ns);
      return stop();
    }
    looked_ns_ = now_ns;
    return true;
  }

 private:
  bool stop() noexcept {
    looked_ns_ = 0;
    return false;
  }

  SpinPolicy policy_;
  std::uint64_t last_ns_ = 0;                // when a request was served
  std::uint64_t gap_ns_ = ~std::uint64_t{0};  // between the last two
  std::uint64_t looked_ns_ = 0;              // 0: not spinning
};

}  // namespace hive
