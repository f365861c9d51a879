// How the RPC endpoint waits and wakes: what a machine offers for that beyond machine::Hardware.
// linux_hardware.h makes it of futexes and eventfds. Thread-safe, except where it says otherwise.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "base/ids.h"

namespace hive::cell {

class RpcWaiter {
 public:
  virtual ~RpcWaiter() = default;

  // As Hardware::send, but rings no doorbell: a reply has a caller that waits for it on the ring,
  // and nobody else needs to hear of it. Callers serialise all sends to the same receiver.
  virtual bool send_reply(CellId to, std::span<const std::byte> payload) noexcept = 0;

  // Whether the next message of this sender, or of any of these, seems to be there. A load or two;
  // true for a message as long as it is being taken in, so that a caller who sees `false` also
  // sees its call ended, if the last message did that.
  virtual bool has_mail(CellId from) const noexcept = 0;
  virtual CellSet mail(CellSet from) const noexcept = 0;

  // Sleeps until `from` has sent something that has not been received, *state is not `expected`,
  // or the deadline; may also return for no reason. A change of *state that comes with a received
  // message needs no wake_callers(); any other does.
  virtual void wait_for_reply(CellId from, const std::atomic<std::uint32_t>& state,
                              std::uint32_t expected, std::uint64_t deadline_ns) noexcept = 0;
  // Wakes all who sleep in wait_for_reply(from); one that is only falling asleep may be missed,
  // and then sleeps for some milliseconds.
  virtual void wake_callers(CellId from) noexcept = 0;

  // The receive thread only: sleeps until one of these senders has mail, wake_receiver(), or the
  // deadline.
  virtual void sleep_until_mail(CellSet from, std::uint64_t deadline_ns) noexcept = 0;
  virtual void wake_receiver() noexcept = 0;

  // Gives the processor away for some microseconds: while a ring is full.
  virtual void nap() noexcept = 0;
};

}  // namespace hive::cell
