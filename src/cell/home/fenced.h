// The seam of page_tables.h made of the machine's firewall.
#pragma once

#include <memory>
#include <utility>

#include "cell/home/page_tables.h"
#include "machine/linux/firewall.h"

namespace hive::cell {

class FencedClientSpace final : public ClientSpace {
 public:
  // A client's space, owned from now on.
  explicit FencedClientSpace(std::unique_ptr<machine::FencedSpace> space)
      : owned_(std::move(space)), space_(*owned_) {}
  // The kernel's own space (NodeMemory::own_space()), which must outlive this.
  explicit FencedClientSpace(machine::FencedSpace& space) : space_(space) {}

  Result<std::uint32_t> give(machine::PageRange range) override { return space_.give(range); }
  Result<void> open(machine::PageRange range) override { return space_.open(range); }
  Result<void> close(machine::PageRange range) override { return space_.close(range); }
  Result<std::uint32_t> give_at(std::uint64_t address, std::uint32_t count) override {
    return space_.give_at(address, count);
  }
  Result<void> open_at(std::uint64_t address, std::uint32_t count) override {
    return space_.open_at(address, count);
  }
  Result<void> close_at(std::uint64_t address, std::uint32_t count) override {
    return space_.close_at(address, count);
  }
  void forget(machine::PageRange range) override { space_.forget(range); }

 private:
  std::unique_ptr<machine::FencedSpace> owned_;
  machine::FencedSpace& space_;
};

class NodeFrameMemory final : public FrameMemory {
 public:
  // `memory` must outlive this.
  explicit NodeFrameMemory(machine::NodeMemory& memory) : memory_(memory) {}
  Result<void> take_back(machine::PageRange range) override { return memory_.take_back(range); }
  Result<void> refill(machine::PageRange range) override { return memory_.refill(range); }
  Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    return memory_.read(offset, out);
  }
  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    return memory_.write(offset, bytes);
  }

 private:
  machine::NodeMemory& memory_;
};

}  // namespace hive::cell
