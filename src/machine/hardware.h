// What a cell's protocol code sees of the machine: everything that is not deterministic comes in
// through here. linux/ makes it of shared memory and system calls, sim/ of a seed. The protocol
// code cannot tell one from the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/ids.h"
#include "machine/sips.h"

namespace hive::machine {

class Hardware {
 public:
  virtual ~Hardware() = default;

  virtual CellId self() const noexcept = 0;
  virtual int cells() const noexcept = 0;
  virtual std::uint64_t now_ns() noexcept = 0;

  // Sends one SIPS message and rings the doorbell if the receiver sleeps. False: the ring is full.
  // Callers serialise sends to the same receiver.
  virtual bool send(CellId to, std::span<const std::byte> payload) noexcept = 0;
  // The same with a sum that is wrong, where the machine can do that: a fault to be injected.
  virtual bool send_garbled(CellId to, std::span<const std::byte> payload) noexcept {
    return send(to, payload);
  }
  // Takes the next message of one sender. One thread at a time.
  virtual SipsReceived receive(CellId from, SipsMessage& out) noexcept = 0;

  // Copies from another node's memory with care; false on a bus error. Any thread.
  virtual bool read_remote(std::uint64_t address, void* out, std::size_t bytes) noexcept = 0;

  // The node's power switch, and whether everything on it is known to be dead. Any thread.
  virtual void power_off(CellId node) noexcept = 0;
  virtual bool is_off(CellId node) noexcept = 0;
};

}  // namespace hive::machine
