// A bounded queue of work that may block for long, and threads that are started when there is
// some.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace hive {

class WorkPool {
 public:
  // With one thread, work is done one after the other, in the order of post(). At most queue_max
  // pieces wait for a thread.
  WorkPool(std::size_t threads_max, std::size_t queue_max)
      : threads_max_(threads_max), queue_max_(queue_max) {}
  ~WorkPool() { stop(); }
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  // False: too much waits already, there can't be any thread, or it was stopped. Any thread; does
  // not block.
  [[nodiscard]] bool post(std::function<void()> work) {
    {
      const std::scoped_lock lock(mutex_);
      if (stopped_ || queue_.size() >= queue_max_) return false;
      if (idle_ <= queue_.size() && threads_.size() < threads_max_ && !start_thread_locked() &&
          threads_.empty()) {
        return false;
      }
      queue_.push_back(std::move(work));
    }
    changed_.notify_one();
    return true;
  }

  // Waits for what is being done; what still waits is dropped. Not from its own threads.
  void stop() {
    std::vector<std::jthread> threads;
    {
      const std::scoped_lock lock(mutex_);
      stopped_ = true;
      threads.swap(threads_);
    }
    for (std::jthread& thread : threads) thread.request_stop();
    changed_.notify_all();
    threads.clear();
    queue_.clear();
  }

  // Work that waits for something other than a thread looks at this once in a while.
  bool stopped() const {
    const std::scoped_lock lock(mutex_);
    return stopped_;
  }

 private:
  // False: the host gives no more threads. Those that there are do it, if later.
  bool start_thread_locked() {
    try {
      threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
      return true;
    } catch (const std::system_error&) {
      return false;
    }
  }
  void run(const std::stop_token& stop) {
    while (true) {
      std::function<void()> work;
      {
        std::unique_lock lock(mutex_);
        ++idle_;
        const bool some = changed_.wait(lock, stop, [this] { return !queue_.empty(); });
        --idle_;
        if (!some || stop.stop_requested()) return;
        work = std::move(queue_.front());
        queue_.pop_front();
      }
      work();
    }
  }

  const std::size_t threads_max_;
  const std::size_t queue_max_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::function<void()>> queue_;  // guarded by mutex_
  std::size_t idle_ = 0;                     // guarded by mutex_; threads that wait
  bool stopped_ = false;                     // guarded by mutex_
  std::vector<std::jthread> threads_;        // guarded by mutex_
};

}  // namespace hive
