#include "cell/boot/takeover.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string>

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/time.h"
#include "machine/linux/power.h"
#include "machine/linux/process.h"

namespace hive::cell {
namespace {

constexpr std::uint64_t first_wait_ns = 3 * ns_per_s;  // for a monitor to come and adopt us
// Between two of them when the first came, and died at once.
constexpr std::uint64_t short_wait_ns = ns_per_s / 2;
constexpr std::uint64_t longest_wait_ns = 60 * ns_per_s;

}  // namespace

void Takeover::monitor_lost(std::uint64_t now_ns) {
  const bool lived = started_ns_ == 0 || now_ns - started_ns_ > first_wait_ns;
  wait_ns_ = lived ? 0 : first_wait_ns;
  next_ns_ = started_ns_ + short_wait_ns;
}

bool Takeover::is_due(std::uint64_t now_ns) {
  if (wait_ns_ != 0 && now_ns < next_ns_) return false;
  wait_ns_ = wait_ns_ == 0 ? first_wait_ns : std::min(2 * wait_ns_, longest_wait_ns);
  started_ns_ = now_ns;
  next_ns_ = now_ns + wait_ns_;
  return true;
}

Result<void> start_monitor(const Config& config) {
  if (config.hive_program.empty()) {
    return fail(Code::host, "there is no program for a new monitor", config.self);
  }
  // All that the child needs: after the fork of a process with threads only system calls are safe.
  std::array<std::string, 6> words = {config.hive_program, "monitor", "--adopt",
                                      config.machine_dir,  "--lock",  "3"};
  std::array<char*, words.size() + 1> arguments{};
  for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return fail(Code::exhausted, "no descriptor left", config.self, errno);
  cpu_set_t every;
  CPU_ZERO(&every);
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) CPU_SET(processor, &every);
  const machine::FdMove moves[] = {
      {null.get(), 0}, {STDOUT_FILENO, 1}, {STDERR_FILENO, 2}, {machine::kernel_fd_lock, 3}};

  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t child = ::fork();
  if (child == 0) {
    // A grandchild, so that it is not this kernel's to reap.
    if (::fork() != 0) ::_exit(0);
    ::setsid();
    machine::reset_signals();
    ::sched_setaffinity(0, sizeof every, &every);  // what this host allows of them
    if (machine::place_descriptors(moves)) ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  const int refused = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (child < 0) return fail(Code::exhausted, "no process for a monitor", config.self, refused);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return {};
}

}  // namespace hive::cell
