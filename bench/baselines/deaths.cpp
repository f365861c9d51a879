// How long Linux itself takes until it is known that a process was killed.
#include <atomic>
#include <cstring>
#include <vector>

#include <poll.h>
#include <sys/syscall.h>

#include "baselines.h"
#include "process.h"
#include "timing.h"

namespace baseline {
namespace {

constexpr int notice_ms_max = 10'000;
constexpr std::size_t mib = std::size_t{1} << 20;

// A child that has touched so much memory, and waits; killed, and seen dead by its pidfd.
double death_ns(std::size_t bytes) {
  auto* is_ready = shared_memory<std::atomic<int>>();
  if (is_ready == nullptr) return -1;
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    void* memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) ::_exit(1);
    std::memset(memory, 1, bytes);
    is_ready->store(1);
    for (;;) ::pause();
  }
  if (child < 0) return -1;
  const int handle = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  pollfd poll{handle, POLLIN, 0};
  while (handle >= 0 && is_ready->load() == 0 && ::poll(&poll, 1, 1) == 0) {
  }
  const double begin = now_ns();
  ::kill(child, SIGKILL);
  const bool noticed = handle >= 0 && ::poll(&poll, 1, notice_ms_max) == 1;
  const double ns = now_ns() - begin;
  ::waitpid(child, nullptr, 0);
  if (handle >= 0) ::close(handle);
  const bool was_ready = is_ready->load() == 1;
  ::munmap(is_ready, sizeof *is_ready);
  return noticed && was_ready ? ns : -1;
}

}  // namespace

double death(const Arguments& arguments) {
  std::vector<double> figures;
  for (std::int64_t i = 0; i < arguments.count; ++i) {
    figures.push_back(death_ns(static_cast<std::size_t>(arguments.size) * mib));
    if (figures.back() < 0) return -1;
  }
  return median_of(std::move(figures));
}

}  // namespace baseline
