// A mutex and a condition for the tasks that share a segment.
//
// Each lies in a page of its own, which every task that opens it may store to: a mutex that nobody
// else wants is taken and given back without a call. Waiting is a futex of Linux, so a task that
// waits uses no processor.
//
// The home looks after them. When a task dies that held a mutex (by a crash, a kill, or with its
// cell), the mutex is *broken*: those who wait and those who come later get `lost`, because what
// it guards may be half done. Whoever mends that calls reset(). The death of a task that held
// nothing is noticed by nobody, and no wake is lost with it. When the home fails, every call
// returns cell_down. Nothing ever waits longer than it was told.
//
// An object belongs to a segment and is named inside it (1 to 31 bytes); it goes with the segment.
// The owner is the task, not the thread: two threads of one task exclude each other, but either
// may unlock. Thread-safety: any thread. Not recursive.
#pragma once

#include <chrono>
#include <memory>
#include <string_view>
#include <utility>

#include <hive/error.h>
#include <hive/segment.h>
#include <hive/sync.h>

namespace hive {

namespace lib {
class LockImpl;
}

class LockGuard;

class Mutex {
 public:
  // Opens the mutex of that name, or makes it. Blocks for a call to the home. Errors:
  // bad_argument, refused (a condition has this name), exhausted, cell_down, timed_out.
  static Result<Mutex> open(const Segment& segment, std::string_view name);

  // Errors: lost (broken: somebody died while he held it), timed_out, cell_down, refused
  // (detached).
  Result<void> lock(std::chrono::nanoseconds timeout = default_wait);
  // The same without waiting. Errors also: busy (held).
  Result<void> try_lock();
  // Errors: bad_argument (this task does not hold it).
  Result<void> unlock();

  // Locks; the guard unlocks when it goes.
  Result<LockGuard> guard(std::chrono::nanoseconds timeout = default_wait);

  // Whether its owner died. No call.
  bool is_broken() const;
  // Makes a broken mutex free again; one that is not broken is left alone. Errors: busy (another
  // task resets it just now), cell_down.
  Result<void> reset();

 private:
  friend class Condition;
  explicit Mutex(std::shared_ptr<lib::LockImpl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<lib::LockImpl> impl_;
};

// Holds a mutex. Movable; unlocks once.
class LockGuard {
 public:
  LockGuard(LockGuard&& other) noexcept
      : mutex_(std::move(other.mutex_)), held_(std::exchange(other.held_, false)) {}
  LockGuard& operator=(LockGuard&& other) noexcept {
    if (this == &other) return *this;
    unlock();
    mutex_ = std::move(other.mutex_);
    held_ = std::exchange(other.held_, false);
    return *this;
  }
  ~LockGuard() { unlock(); }
  // Before the guard goes. A mutex that broke meanwhile stays broken.
  void unlock() noexcept {
    if (std::exchange(held_, false)) (void)mutex_.unlock();
  }

 private:
  friend class Mutex;
  explicit LockGuard(Mutex mutex) noexcept : mutex_(std::move(mutex)) {}
  Mutex mutex_;
  bool held_ = true;
};

// To wait until somebody says that something guarded by a mutex has changed. May wake without a
// reason (a task that had opened it has gone, for one): look again, as with every condition.
class Condition {
 public:
  // As Mutex::open.
  static Result<Condition> open(const Segment& segment, std::string_view name);

  // Unlocks the mutex, waits, and locks it again, however long that takes. After success and after
  // timed_out it is locked; after lost, cell_down and refused it is not.
  Result<void> wait(Mutex& mutex, std::chrono::nanoseconds timeout = default_wait);
  // Wakes one, or all, that wait. One system call. Errors: cell_down.
  Result<void> notify_one();
  Result<void> notify_all();

 private:
  explicit Condition(std::shared_ptr<lib::LockImpl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<lib::LockImpl> impl_;
};

}  // namespace hive
