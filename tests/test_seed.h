// From what random tests draw.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>

namespace hive::test {

// HIVE_TEST_SEED, or another one each time. Whoever draws from it prints it, so that a failure can
// be tried again.
inline std::uint64_t test_seed() {
  const char* given = std::getenv("HIVE_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
}

}  // namespace hive::test
