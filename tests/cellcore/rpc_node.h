// For tests: a node with an RPC endpoint on it, and the thread that receives for it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include "base/time.h"
#include "cell/rpc/linux_hardware.h"
#include "cell/rpc/rpc_endpoint.h"
#include "mapped_node.h"

namespace hive::test {

inline constexpr std::uint16_t op_echo = 1;         // interrupt: the body comes back
inline constexpr std::uint16_t op_echo_queued = 2;  // the same by a server
inline constexpr std::uint16_t op_first_own = 10;   // of a single test

inline Result<void> echo(const cell::RpcRequest& request, cell::RpcReply& reply) {
  std::ranges::copy(request.body, reply.bytes.begin());
  reply.length = static_cast<std::uint8_t>(request.body.size());
  return {};
}

class RpcNode {
 public:
  RpcNode(const machine::Layout& layout, CellId self, cell::RpcEndpoint::Options options = {},
          std::uint64_t life = 1)
      : self_(self),
        incarnation_(static_cast<std::uint64_t>(self) * 1000 + life),
        memory(layout, self),
        hardware(layout, self, *cell::LinuxHardware::make_doorbell()),
        rpc(hardware, hardware, incarnation_, options) {
    rpc.serve(op_echo, cell::RpcLevel::interrupt, echo);
    rpc.serve(op_echo_queued, cell::RpcLevel::queued, echo);
    rpc.set_hint([this](CellId cell, cell::RpcHint, const char* cause) {
      const std::scoped_lock lock(hints_mutex_);
      hints_.push_back(std::to_string(cell) + ": " + cause);
    });
  }
  ~RpcNode() {
    stop_receiving();
    rpc.stop();
  }

  void connect(const RpcNode& other) {
    cell::PeerDescriptors descriptors;
    descriptors.doorbell = UniqueFd(::dup(other.hardware.own_doorbell()));
    HIVE_CHECK(hardware.connect(other.self_, std::move(descriptors)).has_value());
    rpc.connect(other.self_, other.incarnation_);
  }
  static void join(RpcNode& a, RpcNode& b) {
    a.connect(b);
    b.connect(a);
  }
  void start_receiving() {
    receiving_ = true;
    receiver_ = std::thread([this] {
      while (receiving_) rpc.receive_loop_once(now_ns() + 10 * ns_per_ms);
    });
  }
  void stop_receiving() {
    if (!receiver_.joinable()) return;
    receiving_ = false;
    rpc.wake_receiver();
    receiver_.join();
  }
  bool was_hinted(const std::string& part) const {
    const std::scoped_lock lock(hints_mutex_);
    for (const std::string& hint : hints_) {
      if (hint.find(part) != std::string::npos) return true;
    }
    return false;
  }

 private:
  const CellId self_;
  const std::uint64_t incarnation_;
  mutable std::mutex hints_mutex_;
  std::vector<std::string> hints_;  // guarded by hints_mutex_
  std::atomic<bool> receiving_{false};
  std::thread receiver_;

 public:
  MappedNode memory;
  cell::LinuxHardware hardware;
  cell::RpcEndpoint rpc;
};

}  // namespace hive::test
