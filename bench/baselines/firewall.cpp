// The bare calls behind a firewall of pages. The pages are those of a parent that sleeps; the
// calls are made by its child, as by a home on the pages of a client that does something else.
#include <new>
#include <vector>

#include "baselines.h"
#include "fenced.h"
#include "process.h"
#include "timing.h"

namespace baseline {
namespace {

// Runs `measure` in a child while this process, whose pages are meant, waits.
template <class Measure>
double measured_by_child(const Arguments& arguments, Measure measure) {
  double* result = shared_memory<double>();
  if (result == nullptr) return -1;
  *result = -1;
  run_on(arguments.other_processor);
  const pid_t child = ::fork();
  if (child < 0) return -1;
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    run_on(arguments.own_processor);
    *result = measure();
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  return *result;
}

}  // namespace

double protect_pair(const Arguments& arguments) {
  const auto pages = static_cast<std::uint64_t>(arguments.size);
  const Fenced fenced(pages);
  if (!fenced.made() || !fenced.give(0, pages)) return -1;
  return measured_by_child(arguments, [&] {
    bool sound = true;
    const double ns = median_batch_ns(arguments.count, [&] {
      sound = sound && fenced.protect(0, pages, false) && fenced.protect(0, pages, true);
    });
    return sound ? ns : -1;
  });
}

double punch(const Arguments& arguments) {
  const auto pages = static_cast<std::uint64_t>(arguments.size);
  const Fenced fenced(pages);
  if (!fenced.made()) return -1;
  return measured_by_child(arguments, [&]() -> double {
    std::vector<double> figures;
    for (std::int64_t i = 0; i < arguments.count; ++i) {
      if (!fenced.refill(0, pages) || !fenced.give(0, pages)) return -1;
      const double begin = now_ns();
      if (!fenced.punch(0, pages)) return -1;
      figures.push_back(now_ns() - begin);
    }
    return median_of(figures);
  });
}

double allocate(const Arguments& arguments) {
  const auto pages = static_cast<std::uint64_t>(arguments.size);
  const Fenced fenced(pages);
  if (!fenced.made() || !fenced.punch(0, pages)) return -1;
  run_on(arguments.own_processor);
  bool sound = true;
  const double ns = median_batch_ns(arguments.count, [&] {
    sound = sound && fenced.refill(0, pages) && fenced.punch(0, pages);
  });
  return sound ? ns : -1;
}

}  // namespace baseline
