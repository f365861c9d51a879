// A client's view of this node's memory from before its fence has arrived: until then nothing can
// be given to it.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "cell/home/fenced.h"

namespace hive::cell {

class LateSpace final : public ClientSpace {
 public:
  // Once. Calls of other threads may be under way, and find either none or all of it.
  void arrive(std::unique_ptr<machine::FencedSpace> space) {
    space_ = std::make_unique<FencedClientSpace>(std::move(space));
    ready_.store(space_.get(), std::memory_order_release);
  }
  Result<std::uint32_t> give(machine::PageRange range) override {
    ClientSpace* space = ready();
    if (space == nullptr) return absent();
    return space->give(range);
  }
  Result<void> open(machine::PageRange range) override {
    ClientSpace* space = ready();
    if (space == nullptr) return absent();
    return space->open(range);
  }
  Result<void> close(machine::PageRange range) override {
    ClientSpace* space = ready();
    if (space == nullptr) return absent();
    return space->close(range);
  }
  Result<std::uint32_t> give_at(std::uint64_t address, std::uint32_t count) override {
    ClientSpace* space = ready();
    if (space == nullptr) return absent();
    return space->give_at(address, count);
  }
  Result<void> open_at(std::uint64_t address, std::uint32_t count) override {
    ClientSpace* space = ready();
    if (space == nullptr) return absent();
    return space->open_at(address, count);
  }
  Result<void> close_at(std::uint64_t address, std::uint32_t count) override {
    ClientSpace* space = ready();
    if (space == nullptr) return absent();
    return space->close_at(address, count);
  }
  void forget(machine::PageRange range) override {
    if (ClientSpace* space = ready()) space->forget(range);
  }

 private:
  static Failure absent() { return fail(Code::not_found, "the process has not sent its fence"); }
  ClientSpace* ready() const { return ready_.load(std::memory_order_acquire); }

  std::unique_ptr<ClientSpace> space_;
  std::atomic<ClientSpace*> ready_{nullptr};
};

}  // namespace hive::cell
