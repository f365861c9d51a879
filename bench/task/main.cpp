// hive-bench-task WHAT HOME COUNT: what a task can measure, for `hive bench`. Prints nanoseconds
// for one operation. A program like any other, started with `hive run`.
//   window    open a page of a segment, store, commit
//   fault     first touch of a block of 64 KiB
//   blocked   a store to a closed page, with a handler of the program's own that steps over it
//   open      open a segment by name, and close it
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <ucontext.h>

#include <hive/hive.h>

namespace {

constexpr std::uint64_t block_bytes = 65536;
constexpr int batches = 15;

[[noreturn]] void stop(const char* what, const hive::Error& error) {
  std::fprintf(stderr, "hive-bench-task: %s: %s\n", what, error.message().c_str());
  std::exit(1);
}
template <class T>
T must(const char* what, hive::Result<T> result) {
  if (!result) stop(what, result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

double now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::nano>(now).count();
}

double median_of(std::vector<double> figures) {
  const auto middle = figures.begin() + static_cast<std::ptrdiff_t>(figures.size() / 2);
  std::nth_element(figures.begin(), middle, figures.end());
  return *middle;
}

// As the baselines do it: the median of batches.
template <class Operation>
double median_batch_ns(int count, Operation operation) {
  const int batch = std::max(1, count / batches);
  for (int i = 0; i < batch; ++i) operation();  // warm
  std::vector<double> figures;
  for (int b = 0; b < batches; ++b) {
    const double begin = now_ns();
    for (int i = 0; i < batch; ++i) operation();
    figures.push_back((now_ns() - begin) / batch);
  }
  return median_of(std::move(figures));
}

struct Bench {
  hive::Session session;
  int home;
  int count;

  hive::Segment make(std::uint64_t bytes) {
    hive::SegmentOptions options;
    options.home = home;
    const std::string name = "bench-" + std::to_string(session.task());
    return must("create", session.create(name, bytes, options));
  }

  double window() {
    hive::Segment segment = make(hive::page_size);
    std::uint32_t value = 0;
    return median_batch_ns(count, [&] {
      auto window = must("open a window", segment.write(0, hive::page_size));
      *window.at<volatile std::uint32_t>(0) = ++value;
      must("commit", window.commit());
    });
  }

  double fault() {
    const hive::Segment segment = make(static_cast<std::uint64_t>(count) * block_bytes);
    std::vector<double> figures;
    for (int i = 0; i < count; ++i) {
      const double begin = now_ns();
      [[maybe_unused]] const std::byte byte = *const_cast<const volatile std::byte*>(
          segment.data() + static_cast<std::size_t>(i) * block_bytes);
      figures.push_back(now_ns() - begin);
    }
    return median_of(std::move(figures));
  }

  double blocked() {
    const hive::Segment segment = make(hive::page_size);
    must("touch", segment.touch(0, hive::page_size));
    return median_batch_ns(count, [&] {
      // Three bytes long; step_over() counts on it.
      asm volatile("movb $1, (%%rdi)" : : "D"(segment.data()) : "memory");
    });
  }

  double open() {
    const hive::Segment segment = make(hive::page_size);
    return median_batch_ns(
        count, [&] { const hive::Segment again = must("open", session.open(segment.name())); });
  }
};

void step_over(int, siginfo_t*, void* context) {
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] += 3;
}

}  // namespace

int main(int argc, char** argv) {
  const int home = argc == 4 ? std::atoi(argv[2]) : -1;
  const int count = argc == 4 ? std::atoi(argv[3]) : 0;
  if (home < 0 || count < 1) {
    std::fputs("usage: hive-bench-task window|fault|blocked|open HOME COUNT\n", stderr);
    return 2;
  }
  struct sigaction action {};
  action.sa_sigaction = step_over;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  ::sigaction(SIGBUS, &action, nullptr);

  Bench bench{must("attach", hive::attach()), home, count};
  const std::string what = argv[1];
  const double ns = what == "window"    ? bench.window()
                    : what == "fault"   ? bench.fault()
                    : what == "blocked" ? bench.blocked()
                    : what == "open"    ? bench.open()
                                        : -1;
  if (ns < 0) return 2;
  std::printf("%.3f\n", ns);
  return 0;
}
