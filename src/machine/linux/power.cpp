#include "machine/linux/power.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "machine/linux/power_start.h"
#include "machine/linux/process.h"

namespace hive::machine {
namespace {

constexpr std::uint64_t start_limit_ns = 30 * ns_per_s;

// All that the child needs, made before the fork: afterwards only system calls are safe.
struct Child {
  std::vector<std::string> words;
  std::vector<char*> arguments;
  cpu_set_t processors;
  bool set_processors = false;
  int null = -1;
};

Child describe_child(const NodeStart& start) {
  Child child;
  const char* const ties = start.untied ? "untied" : start.namespaces ? "namespaces" : "processes";
  child.words = {start.node_program, std::to_string(start.node), ties};
  child.words.insert(child.words.end(), start.kernel.begin(), start.kernel.end());
  for (auto& word : child.words) child.arguments.push_back(word.data());
  child.arguments.push_back(nullptr);
  CPU_ZERO(&child.processors);
  for (const int processor : start.processors) {
    if (processor >= 0 && processor < CPU_SETSIZE) CPU_SET(processor, &child.processors);
  }
  child.set_processors = !start.processors.empty();
  return child;
}

// In the child. Ends by exec, or by writing what failed to the report pipe.
[[noreturn]] void become_power_process(const NodeStart& start, const Child& child, int report) {
  StartReport failed{StartStage::power, 0};
  ::setsid();  // signals of the terminal are not for a node
  reset_signals();
  const int out = start.log >= 0 ? start.log : child.null;
  const FdMove moves[] = {{child.null, 0},
                          {out, 1},
                          {out, 2},
                          {start.monitor_channel, kernel_fd_monitor},
                          {start.lock, kernel_fd_lock},
                          {report, power_fd_report}};
  const bool affinity_set =
      !child.set_processors ||
      ::sched_setaffinity(0, sizeof child.processors, &child.processors) == 0;
  if (affinity_set && place_descriptors(moves)) {
    report = power_fd_report;  // open across exec: the power process reports through it too
    ::execv(child.arguments[0], child.arguments.data());
  }
  failed.sys_errno = errno;
  [[maybe_unused]] const auto written = ::write(report, &failed, sizeof failed);
  ::_exit(127);
}

// Our own child, not yet reaped: the number cannot be anybody else's.
void end_child(pid_t pid) {
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

const char* cause_of(StartStage stage) {
  switch (stage) {
    case StartStage::running:
      break;
    case StartStage::power:
      return "the power process cannot be started";
    case StartStage::starter:
      return "the starter of a node cannot be started";
    case StartStage::kernel:
      return "the kernel of a cell cannot be started";
  }
  return "a node cannot be started";
}

// What was reported, or timed_out before anything was.
Result<void> read_report(int pipe, int node, const timespec& patience) {
  pollfd wait{.fd = pipe, .events = POLLIN, .revents = 0};
  if (::ppoll(&wait, 1, &patience, nullptr) <= 0) {
    return fail(Code::timed_out, "a node does not start", node);
  }
  StartReport report{};
  ssize_t got = 0;
  do {
    got = ::read(pipe, &report, sizeof report);
  } while (got < 0 && errno == EINTR);
  if (got != sizeof report) return fail(Code::host, "a node died while it started", node);
  if (report.stage == StartStage::running) return {};
  return fail(Code::host, cause_of(report.stage), node, report.sys_errno);
}

Result<void> await_report(int pipe, int node) {
  const std::uint64_t deadline = now_ns() + start_limit_ns;
  for (;;) {
    const std::uint64_t now = now_ns();
    if (now >= deadline) return fail(Code::timed_out, "a node does not start", node);
    auto told = read_report(pipe, node, to_timespec(deadline - now));
    if (told || told.error().code != Code::timed_out) return told;
  }
}

}  // namespace

Result<StartingNode> begin_node(const NodeStart& start) {
  if (start.kernel.empty()) return fail(Code::bad_argument, "a node needs a kernel", start.node);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  int ends[2];
  if (!null || ::pipe2(ends, O_CLOEXEC) != 0) {
    return fail(Code::exhausted, "no descriptor left", start.node, errno);
  }
  StartingNode starting;
  starting.report.reset(ends[0]);
  UniqueFd writer(ends[1]);
  Child child = describe_child(start);
  child.null = null.get();

  // No signal handler of ours may run in the child before it has forgotten them all.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) become_power_process(start, child, writer.get());
  const int cause = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return fail(Code::exhausted, "no process for a node", start.node, cause);
  starting.node.power_pid = pid;
  starting.node.power_pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (starting.node.power_pidfd) return starting;
  const int refused = errno;
  end_child(pid);
  return fail(Code::host, "pidfd_open", start.node, refused);
}

Result<void> node_started(int report, int node) { return read_report(report, node, timespec{}); }

Result<RunningNode> start_node(const NodeStart& start) {
  auto starting = begin_node(start);
  if (!starting) return fail(starting.error());
  if (auto started = await_report(starting->report.get(), start.node); !started) {
    end_child(starting->node.power_pid);
    return fail(started.error());
  }
  return std::move(starting->node);
}

int pid_of_pidfd(int pidfd) {
  char text[1024];
  std::snprintf(text, sizeof text, "/proc/self/fdinfo/%d", pidfd);
  const UniqueFd file(::open(text, O_RDONLY | O_CLOEXEC));
  if (!file) return -1;
  const ssize_t got = ::read(file.get(), text, sizeof text - 1);
  if (got <= 0) return -1;
  text[got] = 0;
  const char* line = std::strstr(text, "\nPid:");
  const int pid = line == nullptr ? -1 : std::atoi(line + 5);
  return pid > 0 ? pid : -1;
}

bool pidfd_is_dead(int pidfd) {
  pollfd state{.fd = pidfd, .events = POLLIN, .revents = 0};
  return ::poll(&state, 1, 0) > 0 && (state.revents & POLLIN) != 0;
}

}  // namespace hive::machine
