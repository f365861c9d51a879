// What one node's protocol code sees of the simulated machine.
#pragma once

#include "machine/hardware.h"
#include "machine/sim/sim_machine.h"

namespace hive::machine {

class SimHardware final : public Hardware {
 public:
  SimHardware(SimMachine& machine, CellId self) : machine_(machine), self_(self) {}

  CellId self() const noexcept override { return self_; }
  int cells() const noexcept override { return machine_.options_.cells; }
  std::uint64_t now_ns() noexcept override { return machine_.now_; }
  bool send(CellId to, std::span<const std::byte> payload) noexcept override {
    return machine_.send(self_, to, payload);
  }
  SipsReceived receive(CellId from, SipsMessage& out) noexcept override {
    return machine_.receive(from, self_, out);
  }
  bool read_remote(std::uint64_t address, void* out, std::size_t bytes) noexcept override {
    return machine_.read(self_, address, out, bytes);
  }
  void power_off(CellId node) noexcept override { machine_.kill(node); }
  bool is_off(CellId node) noexcept override { return machine_.is_dead(node); }

 private:
  SimMachine& machine_;
  const CellId self_;
};

}  // namespace hive::machine
