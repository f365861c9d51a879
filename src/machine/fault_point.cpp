#include "machine/fault_point.h"

#include <csignal>

#include <unistd.h>

namespace hive::machine {
namespace {

std::atomic<std::uint32_t> skips_left{0};

}  // namespace

void detail::at_armed_point() {
  std::uint32_t left = skips_left.load(std::memory_order_relaxed);
  while (left > 0) {
    if (skips_left.compare_exchange_weak(left, left - 1)) return;
  }
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();  // not one step further
}

void arm_fault_point(FaultPoint point, std::uint32_t skip) {
  detail::armed_point.store(FaultPoint::none);
  skips_left.store(skip);
  detail::armed_point.store(point);
}

}  // namespace hive::machine
