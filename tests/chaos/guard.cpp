#include "guard.h"

#include <cstdio>
#include <cstring>

#include <unistd.h>

namespace hive::chaos {
namespace {

// Alive, and not on its way out: Linux has taken its memory away before the home is told, and
// calls it a zombie only some time after that.
bool is_alive(std::uint64_t pid) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%llu/stat", static_cast<unsigned long long>(pid));
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) return false;
  char line[512] = {};
  const std::size_t got = std::fread(line, 1, sizeof line - 1, file);
  std::fclose(file);
  const char* end = got > 0 ? std::strrchr(line, ')') : nullptr;
  constexpr unsigned exiting = 0x4;  // PF_EXITING
  unsigned flags = 0;
  if (end == nullptr || std::sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) != 1) {
    return false;
  }
  return (flags & exiting) == 0;
}

}  // namespace

Guard::Guard(Place& place, std::size_t number)
    : place_(place),
      number_(number),
      mutex_(open("m" + std::to_string(number))),
      mending_(open("mend" + std::to_string(number))) {}

std::optional<Mutex> Guard::open(const std::string& name) {
  auto opened = Mutex::open(place_.torn, name);
  if (opened) return std::move(*opened);
  (void)may_be(opened.error(), {}, "opening a mutex");
  return std::nullopt;
}

void Guard::reset(Mutex& mutex) {
  if (auto done = mutex.reset(); !done) (void)may_be(done.error(), {Code::busy}, "a reset");
}

void Guard::give() {
  left();
  if (auto done = mutex_->unlock(); !done) (void)may_be(done.error(), {}, "an unlock");
}

bool Guard::wait(Condition& condition, std::chrono::milliseconds timeout, bool& timed_out) {
  left();
  auto waited = condition.wait(*mutex_, timeout);
  timed_out = !waited && waited.error().code == Code::timed_out;
  if (!waited && !may_be(waited.error(), {Code::timed_out, Code::lost}, "a condition")) {
    return false;
  }
  if (!waited && !timed_out) return false;
  entered();
  return true;
}

void Guard::entered() {
  const std::uint64_t before = holder().exchange(static_cast<std::uint64_t>(::getpid()));
  if (before != 0 && is_alive(before)) {
    violation("mutex %zu has two owners: %llu lives", number_,
              static_cast<unsigned long long>(before));
  }
}

}  // namespace hive::chaos
