#include "base/check.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <algorithm>

#include <unistd.h>

namespace hive {
namespace {

void print_panic(const char* why, const char* file, int line) {
  char text[512];
  const int n = std::snprintf(text, sizeof text, "hive: panic: %s (%s:%d)\n", why, file, line);
  if (n > 0) {
    [[maybe_unused]] const auto written =
        ::write(STDERR_FILENO, text, std::min(static_cast<std::size_t>(n), sizeof text - 1));
  }
}

std::atomic<PanicHandler> panic_handler{&print_panic};

}  // namespace

void set_panic_handler(PanicHandler handler) { panic_handler.store(handler); }

void panic(const char* why, const char* file, int line) {
  panic_handler.load()(why, file, line);
  std::abort();
}

}  // namespace hive
