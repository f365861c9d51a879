// Random numbers that a seed determines, the same with every library.
#pragma once

#include <cstdint>
#include <vector>

#include "campaign/plan/content.h"

namespace hive::campaign {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(mix(seed)) {}
  std::uint64_t next() { return mix(state_++); }
  std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + below(high - low + 1);
  }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  // `count` different numbers below `bound`, in random order.
  std::vector<int> draw(int count, int bound) {
    std::vector<int> all;
    for (int i = 0; i < bound; ++i) all.push_back(i);
    for (int i = 0; i < count && i < bound; ++i) {
      const auto j = static_cast<std::size_t>(i) + below(static_cast<std::uint64_t>(bound - i));
      std::swap(all[static_cast<std::size_t>(i)], all[j]);
    }
    all.resize(static_cast<std::size_t>(count < bound ? count : bound));
    return all;
  }

 private:
  std::uint64_t state_;
};

}  // namespace hive::campaign
