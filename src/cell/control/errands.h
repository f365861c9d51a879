// Threads for work that may block for a while (a call to another cell, a walk through its memory),
// so that the control thread and the gate workers do not.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace hive::cell {

inline constexpr int errand_threads = 2;
inline constexpr std::size_t errands_max = 1024;

class Errands {
 public:
  Errands() {
    for (int i = 0; i < errand_threads; ++i) {
      threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
    }
  }
  ~Errands() { stop(); }
  Errands(const Errands&) = delete;
  Errands& operator=(const Errands&) = delete;

  // False when too many wait already. Any thread.
  [[nodiscard]] bool post(std::function<void()> errand) {
    {
      const std::scoped_lock lock(mutex_);
      if (waiting_.size() >= errands_max) return false;
      waiting_.push_back(std::move(errand));
    }
    changed_.notify_one();
    return true;
  }

  // Ends the threads; what still waits is dropped.
  void stop() {
    for (std::jthread& thread : threads_) thread.request_stop();
    changed_.notify_all();
    threads_.clear();
  }

 private:
  void run(const std::stop_token& stop) {
    while (true) {
      std::function<void()> errand;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, stop, [this] { return !waiting_.empty(); });
        if (stop.stop_requested()) return;
        errand = std::move(waiting_.front());
        waiting_.pop_front();
      }
      errand();
    }
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::function<void()>> waiting_;  // guarded by mutex_
  std::vector<std::jthread> threads_;          // last: they use the others
};

}  // namespace hive::cell
