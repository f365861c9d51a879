// What programs use between processes without Hive: bare versions of a versioned value, a ring, a
// mutex and a barrier, in memory that is shared and unprotected.
#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include <pthread.h>

#include "baselines.h"
#include "process.h"
#include "timing.h"

namespace baseline {
namespace {

constexpr std::size_t slots = 1024;

struct Record {
  std::array<std::uint64_t, 8> words{};
};

// One sequence, odd while the record changes.
struct SequenceLock {
  alignas(64) std::atomic<std::uint64_t> sequence{0};
  Record record;
  void publish(const Record& next) {
    const std::uint64_t before = sequence.load(std::memory_order_relaxed);
    sequence.store(before + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    std::memcpy(&record, &next, sizeof record);
    asm volatile("" : : : "memory");
    sequence.store(before + 2, std::memory_order_release);
  }
  Record read() const {
    Record copy;
    for (;;) {
      const std::uint64_t before = sequence.load(std::memory_order_acquire);
      std::memcpy(&copy, &record, sizeof copy);
      std::atomic_thread_fence(std::memory_order_acquire);
      if (before % 2 == 0 && sequence.load(std::memory_order_relaxed) == before) return copy;
    }
  }
};

struct Ring {
  alignas(64) std::atomic<std::uint64_t> published{0};
  std::array<Record, slots> records;
};

template <class T>
void keep(const T& value) {
  asm volatile("" : : "r"(&value) : "memory");
}

}  // namespace

double publish(const Arguments& arguments) {
  auto* lock = shared_memory<SequenceLock>();
  if (lock == nullptr) return -1;
  const Record record;
  return median_batch_ns(arguments.count, [&] { lock->publish(record); });
}

double latest(const Arguments& arguments) {
  auto* lock = shared_memory<SequenceLock>();
  if (lock == nullptr) return -1;
  return median_batch_ns(arguments.count, [&] { keep(lock->read()); });
}

double ring(const Arguments& arguments) {
  auto* ring = shared_memory<Ring>();
  if (ring == nullptr) return -1;
  Record record;
  std::uint64_t position = 0;
  return median_batch_ns(arguments.count, [&] {
    const std::uint64_t next = ring->published.load(std::memory_order_relaxed);
    std::memcpy(&ring->records[next % slots], &record, sizeof record);
    ring->published.store(next + 1, std::memory_order_release);
    if (ring->published.load(std::memory_order_acquire) > position) {
      std::memcpy(&record, &ring->records[position++ % slots], sizeof record);
      keep(record);
    }
  });
}

double mutex(const Arguments& arguments) {
  auto* mutex = shared_memory<pthread_mutex_t>();
  pthread_mutexattr_t attributes;
  if (mutex == nullptr || ::pthread_mutexattr_init(&attributes) != 0) return -1;
  ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  if (::pthread_mutex_init(mutex, &attributes) != 0) return -1;
  return median_batch_ns(arguments.count, [&] {
    ::pthread_mutex_lock(mutex);
    ::pthread_mutex_unlock(mutex);
  });
}

double barrier(const Arguments& arguments) {
  auto* barrier = shared_memory<pthread_barrier_t>();
  pthread_barrierattr_t attributes;
  if (barrier == nullptr || ::pthread_barrierattr_init(&attributes) != 0) return -1;
  ::pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (::pthread_barrier_init(barrier, &attributes, 2) != 0) return -1;
  const std::int64_t meetings =
      std::max<std::int64_t>(1, arguments.count / batches) * (batches + 1);
  std::thread other([&] {
    for (std::int64_t i = 0; i < meetings; ++i) ::pthread_barrier_wait(barrier);
  });
  const double ns =
      median_batch_ns(arguments.count, [&] { ::pthread_barrier_wait(barrier); });
  other.join();
  return ns;
}

}  // namespace baseline
