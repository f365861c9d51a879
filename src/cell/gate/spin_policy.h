// Whether a worker that found nothing to do looks again at once or goes to sleep. Spinning pays
// only where requests come one upon the other and a processor is free for it. One thread at a
// time.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace hive::cell {

inline constexpr std::uint64_t worker_spin_max_ns = 50 * ns_per_us;
inline constexpr std::uint64_t spin_request_gap_max_ns = 100 * ns_per_us;
// A look that comes this late shows that somebody else wants the processor.
inline constexpr std::uint64_t spin_look_gap_max_ns = 30 * ns_per_us;
inline constexpr std::uint64_t worker_spin_pause_ns = 10 * ns_per_ms;

class WorkerSpin {
 public:
  explicit WorkerSpin(bool may_spin_at_all) : allowed_(may_spin_at_all) {}

  // A request was served.
  void served(std::uint64_t now) {
    request_gap_ = now - last_request_;
    last_request_ = now;
    last_look_ = 0;
  }
  // Nothing was found. True: look again.
  bool spin(std::uint64_t now) {
    if (!allowed_ || now < pause_until_ || request_gap_ > spin_request_gap_max_ns ||
        now - last_request_ > worker_spin_max_ns) {
      last_look_ = 0;
      return false;
    }
    if (last_look_ != 0 && now - last_look_ > spin_look_gap_max_ns) {
      pause_until_ = now + worker_spin_pause_ns;
      last_look_ = 0;
      return false;
    }
    last_look_ = now;
    return true;
  }

 private:
  bool allowed_;
  std::uint64_t last_request_ = 0;
  std::uint64_t request_gap_ = ~std::uint64_t{0};
  std::uint64_t last_look_ = 0;
  std::uint64_t pause_until_ = 0;
};

}  // namespace hive::cell
