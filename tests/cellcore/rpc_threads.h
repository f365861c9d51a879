// For tests of RPC with threads: the fixtures, with or without spinning.
#pragma once

#include <cstdint>
#include <thread>

#include <gtest/gtest.h>

#include "base/safe_copy.h"
#include "base/time.h"
#include "rpc_node.h"

namespace hive::test {

// For what must happen, on a machine that is busy with other things.
inline constexpr std::uint64_t patient = 60 * ns_per_s;

inline std::span<const std::byte> bytes_of(const std::uint64_t& value) {
  return std::as_bytes(std::span(&value, 1));
}
template <class Condition>
bool wait_for(Condition condition) {
  const std::uint64_t deadline = now_ns() + patient;
  while (!condition()) {
    if (now_ns() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

class RpcThreads : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { install_safe_copy_handler(); }
  static inline const machine::Layout layout = machine::make_layout(3, std::uint64_t{1} << 20);
};

class RpcSpinning : public RpcThreads, public ::testing::WithParamInterface<bool> {
 protected:
  cell::RpcEndpoint::Options options() const {
    cell::RpcEndpoint::Options o;
    o.spin = GetParam();
    return o;
  }
};

}  // namespace hive::test
