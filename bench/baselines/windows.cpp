// The least that a write window can cost: two questions by cache line to the process that holds
// the page, a call for each, a store between them.
#include <atomic>
#include <new>

#include "baselines.h"
#include "fenced.h"
#include "process.h"
#include "timing.h"

namespace baseline {
namespace {

struct Lines {
  alignas(128) std::atomic<std::uint32_t> asked{0};  // odd: open; even: close
  alignas(128) std::atomic<std::uint32_t> done{0};
};

}  // namespace

double window(const Arguments& arguments) {
  const Fenced fenced(1);
  Lines* lines = shared_memory<Lines>();
  if (!fenced.made() || lines == nullptr || !fenced.give(0, 1)) return -1;
  const OtherProcess home(arguments.other_processor, [&] {
    for (std::uint32_t i = 1;; ++i) {
      while (lines->asked.load(std::memory_order_acquire) != i) relax();
      if (!fenced.protect(0, 1, i % 2 == 0)) ::_exit(1);
      lines->done.store(i, std::memory_order_release);
    }
  });
  if (!home.started()) return -1;
  run_on(arguments.own_processor);
  std::uint32_t i = 0;
  const auto ask = [&] {
    lines->asked.store(++i, std::memory_order_release);
    while (lines->done.load(std::memory_order_acquire) != i) relax();
  };
  return median_batch_ns(arguments.count, [&] {
    ask();
    *fenced.page(0) = static_cast<std::uint8_t>(i);
    ask();
  });
}

}  // namespace baseline
