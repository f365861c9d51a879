// What the tests of writers that die at random moments share: a seed, short waits, and the modes
// of the firewall that this host has.
#pragma once

#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/time.h"
#include "fake_machine.h"
#include "test_seed.h"

namespace hive::test {

class RandomMoments {
 public:
  RandomMoments() : RandomMoments(test_seed()) {}
  explicit RandomMoments(std::uint64_t seed) : random_(seed) {
    std::printf("HIVE_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  }
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  // Lets up to that much time pass: most of the waits are short, some are not.
  void pass(std::uint64_t max_us) {
    const std::uint64_t us = below(below(max_us) + 1);
    std::this_thread::sleep_for(std::chrono::microseconds(us));
  }

 private:
  std::mt19937_64 random_;
};

inline std::vector<machine::FirewallMode> firewall_modes() {
  using machine::FirewallMode;
  switch (machine::probe_firewall_mode()) {
    case FirewallMode::mmu:
      return {FirewallMode::mmu, FirewallMode::mmu_windowed, FirewallMode::cooperative};
    case FirewallMode::mmu_windowed:
      return {FirewallMode::mmu_windowed, FirewallMode::cooperative};
    case FirewallMode::cooperative:
      break;
  }
  return {FirewallMode::cooperative};
}

inline std::string firewall_mode_name(
    const ::testing::TestParamInfo<machine::FirewallMode>& mode) {
  switch (mode.param) {
    case machine::FirewallMode::mmu:
      return "mmu";
    case machine::FirewallMode::mmu_windowed:
      return "windowed";
    case machine::FirewallMode::cooperative:
      break;
  }
  return "cooperative";
}

}  // namespace hive::test
