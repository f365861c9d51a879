// The servers of queued requests: a bounded queue and a few threads that take from it.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "cell/rpc/rpc_core.h"

namespace hive::cell {

struct QueuedRequest {
  RpcOrigin origin;
  std::uint8_t length = 0;
  std::array<std::byte, rpc_body_max> body;
};

class ServerPool {
 public:
  using Serve = std::function<void(const QueuedRequest&)>;
  ServerPool(std::size_t queue_max, Serve serve);
  ~ServerPool();  // stops
  ServerPool(const ServerPool&) = delete;
  ServerPool& operator=(const ServerPool&) = delete;

  void start(int threads);
  // Waits for the requests that are being served; those still in the queue are dropped.
  void stop();
  // False when the queue is full. Any thread; never blocks for long.
  bool put(const RpcOrigin& origin, std::span<const std::byte> body);
  std::uint64_t served() const;
  std::size_t waiting() const;

 private:
  void run();

  const Serve serve_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<QueuedRequest> queue_;  // a ring of fixed size; guarded by mutex_
  std::size_t first_ = 0;             // guarded by mutex_
  std::size_t count_ = 0;             // guarded by mutex_
  std::uint64_t served_ = 0;          // guarded by mutex_
  bool stopping_ = false;             // guarded by mutex_
  std::vector<std::thread> threads_;  // start() and stop() only
};

}  // namespace hive::cell
