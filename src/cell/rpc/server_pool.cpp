#include "cell/rpc/server_pool.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace hive::cell {

ServerPool::ServerPool(std::size_t queue_max, Serve serve)
    : serve_(std::move(serve)), queue_(queue_max) {
  HIVE_CHECK(queue_max > 0);
}

ServerPool::~ServerPool() { stop(); }

void ServerPool::start(int threads) {
  HIVE_CHECK(threads_.empty());
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

void ServerPool::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

bool ServerPool::put(const RpcOrigin& origin, std::span<const std::byte> body) {
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_ || count_ == queue_.size()) return false;
    QueuedRequest& place = queue_[(first_ + count_) % queue_.size()];
    place.origin = origin;
    place.length = static_cast<std::uint8_t>(body.size());
    std::ranges::copy(body, place.body.begin());
    ++count_;
  }
  changed_.notify_one();
  return true;
}

std::uint64_t ServerPool::served() const {
  const std::scoped_lock lock(mutex_);
  return served_;
}

std::size_t ServerPool::waiting() const {
  const std::scoped_lock lock(mutex_);
  return count_;
}

void ServerPool::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || count_ > 0; });
    if (stopping_) return;
    const QueuedRequest request = queue_[first_];
    first_ = (first_ + 1) % queue_.size();
    --count_;
    lock.unlock();
    serve_(request);
    lock.lock();
    ++served_;
  }
}

}  // namespace hive::cell
