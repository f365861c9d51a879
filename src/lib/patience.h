// Which errors of a home about its pages pass by themselves, and how long a task waits for that.
#pragma once

#include <cstdint>

#include <hive/error.h>
#include "base/time.h"
#include "lib/deadline.h"

namespace hive::lib {

// Linux refuses to change pages whose memory is just failing; soon the home is known to be down,
// and that is the better answer.
inline constexpr std::uint64_t host_patience_ns = 100 * ns_per_ms;
inline constexpr std::uint64_t patience_pause_ns = ns_per_ms;

class Patience {
 public:
  // Whether the call is worth another try, after a pause. Async-signal-safe.
  bool allows(Code code) const noexcept {
    const std::uint64_t waited_ns = now_ns() - begin_ns_;
    if (code == Code::busy) return waited_ns < call_timeout_ns;  // it works on these very pages
    return code == Code::host && waited_ns < host_patience_ns;
  }

 private:
  const std::uint64_t begin_ns_ = now_ns();
};

}  // namespace hive::lib
