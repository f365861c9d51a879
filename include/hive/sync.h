// Coordination for the tasks that share a segment: a counter, a barrier and a queue of work items.
//
// They are kept and served by the segment's home, in memory that no task can store to, so nothing
// that a task does while it dies can spoil them: the home knows who takes part and who has died.
// Each call is one round trip to the home. When the home fails, every call, also one that waits,
// returns cell_down; none ever hangs.
//
// An object belongs to a segment and is named inside it (1 to 31 bytes); it goes with the segment.
// Opening one that exists with other parameters is refused. Thread-safety: any thread. Of one
// task, at most 24 threads at a time can wait at one home; the next ones wait for a place, and get
// `exhausted` when their own time is up before there is one.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include <hive/error.h>
#include <hive/segment.h>

namespace hive {

inline constexpr std::chrono::nanoseconds default_wait = std::chrono::seconds(60);

// A 64-bit counter. A participant that dies leaves it as it was.
class Counter {
 public:
  static Result<Counter> open(const Segment& segment, std::string_view name);
  Result<std::uint64_t> add(std::uint64_t delta);  // returns the value before
  Result<std::uint64_t> get() const;

 private:
  Counter(std::shared_ptr<lib::SegmentImpl> segment, std::uint32_t id)
      : segment_(std::move(segment)), id_(id) {}
  std::shared_ptr<lib::SegmentImpl> segment_;
  std::uint32_t id_;
};

// A barrier for a fixed number of parties. When a task that has opened it dies, the barrier is
// broken: those who wait and those who come later get `lost` until somebody resets it.
class Barrier {
 public:
  static Result<Barrier> open(const Segment& segment, std::string_view name,
                              std::uint32_t parties);
  // Waits until `parties` tasks have arrived. Errors: lost (broken), timed_out (and the barrier is
  // then broken for the others too), cell_down.
  Result<void> arrive_and_wait(std::chrono::nanoseconds timeout = default_wait);
  // Mends a broken barrier for `parties` from now on. Errors: busy (tasks wait in it).
  Result<void> reset(std::uint32_t parties);

 private:
  Barrier(std::shared_ptr<lib::SegmentImpl> segment, std::uint32_t id)
      : segment_(std::move(segment)), id_(id) {}
  std::shared_ptr<lib::SegmentImpl> segment_;
  std::uint32_t id_;
};

// The items 0 .. count-1, each to be done once. take() leases an item; done() retires it. The
// items that a dead task had leased go back into the queue and are handed out again.
class WorkQueue {
 public:
  static constexpr std::uint64_t empty = ~std::uint64_t{0};  // from take(): every item is done
  static Result<WorkQueue> open(const Segment& segment, std::string_view name,
                                std::uint64_t count);
  // Leases an item. Waits while none is free but some are leased to others, since those may come
  // back; returns `empty` when all are done. Errors: timed_out, cell_down.
  Result<std::uint64_t> take(std::chrono::nanoseconds timeout = default_wait);
  // Errors: bad_argument (the item is not leased to this task).
  Result<void> done(std::uint64_t item);
  // done(item) and take(timeout) in one round trip. When it is refused as bad_argument nothing was
  // leased; after timed_out the item may have been retired or not.
  Result<std::uint64_t> done_then_take(std::uint64_t item,
                                       std::chrono::nanoseconds timeout = default_wait);
  struct Progress {
    std::uint64_t done = 0;
    std::uint64_t leased = 0;
    std::uint64_t handed_out_again = 0;  // items that came back from tasks that died
  };
  Result<Progress> progress() const;

 private:
  WorkQueue(std::shared_ptr<lib::SegmentImpl> segment, std::uint32_t id)
      : segment_(std::move(segment)), id_(id) {}
  std::shared_ptr<lib::SegmentImpl> segment_;
  std::uint32_t id_;
};

}  // namespace hive
