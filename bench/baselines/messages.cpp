// Asking another process and getting an answer, as directly as the machine and Linux can do it.
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>
#include <thread>

#include <sys/eventfd.h>

#include "baselines.h"
#include "process.h"
#include "timing.h"

namespace baseline {
namespace {

struct Lines {
  alignas(128) std::atomic<std::uint32_t> ping{0};
  alignas(128) std::atomic<std::uint32_t> pong{0};
};

struct Eventfds {
  int ping = ::eventfd(0, EFD_CLOEXEC);
  int pong = ::eventfd(0, EFD_CLOEXEC);
  bool made() const { return ping >= 0 && pong >= 0; }
};

bool raise(int fd) {
  const std::uint64_t one = 1;
  return ::write(fd, &one, sizeof one) == sizeof one;
}
bool await(int fd) {
  std::uint64_t count = 0;
  return ::read(fd, &count, sizeof count) == sizeof count;
}

double ask_by_eventfd(const Arguments& arguments, const Eventfds& fds) {
  bool sound = true;
  const double ns = median_batch_ns(arguments.count,
                                    [&] { sound = sound && raise(fds.ping) && await(fds.pong); });
  return sound ? ns : -1;
}

// The other process, with a thread that answers what the first one takes.
[[noreturn]] void relay(const Eventfds& fds) {
  std::mutex mutex;
  std::condition_variable changed;
  int waiting = 0;
  std::thread server([&] {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return waiting > 0; });
      --waiting;
      lock.unlock();
      raise(fds.pong);
      lock.lock();
    }
  });
  while (await(fds.ping)) {
    {
      const std::scoped_lock lock(mutex);
      ++waiting;
    }
    changed.notify_one();
  }
  ::_exit(1);
}

}  // namespace

double cache_lines(const Arguments& arguments) {
  Lines* lines = shared_memory<Lines>();
  if (lines == nullptr) return -1;
  const OtherProcess other(arguments.other_processor, [lines] {
    for (std::uint32_t i = 1;; ++i) {
      while (lines->ping.load(std::memory_order_acquire) != i) relax();
      lines->pong.store(i, std::memory_order_release);
    }
  });
  if (!other.started()) return -1;
  run_on(arguments.own_processor);
  std::uint32_t i = 0;
  return median_batch_ns(arguments.count, [&] {
    lines->ping.store(++i, std::memory_order_release);
    while (lines->pong.load(std::memory_order_acquire) != i) relax();
  });
}

double eventfds(const Arguments& arguments) {
  const Eventfds fds;
  if (!fds.made()) return -1;
  const OtherProcess other(arguments.other_processor, [&fds] {
    while (await(fds.ping) && raise(fds.pong)) {
    }
  });
  if (!other.started()) return -1;
  run_on(arguments.own_processor);
  return ask_by_eventfd(arguments, fds);
}

double eventfds_queued(const Arguments& arguments) {
  const Eventfds fds;
  if (!fds.made()) return -1;
  const OtherProcess other(arguments.other_processor, [&fds] { relay(fds); });
  if (!other.started()) return -1;
  run_on(arguments.own_processor);
  return ask_by_eventfd(arguments, fds);
}

}  // namespace baseline
