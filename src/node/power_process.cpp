#include "node/power_process.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/safe_copy.h"
#include "base/time.h"
#include "machine/linux/fd_channel.h"
#include "machine/linux/lifeline.h"
#include "machine/linux/power.h"
#include "machine/linux/power_start.h"
#include "machine/linux/process.h"
#include "node/starter_process.h"

namespace hive::node {
namespace {

using machine::StartReport;
using machine::StartStage;

// A lifeline is also looked at without being woken: its memory may fail in silence.
constexpr std::uint64_t lifeline_look_ns = ns_per_s;
// How long the power process hunts for what its tasks left behind, where there is no namespace.
constexpr std::uint64_t orphan_hunt_ns = 2 * ns_per_s;

struct Node {
  pid_t kernel = -1;
  UniqueFd kernel_pidfd;
  Starter starter;
  UniqueFd kernel_channel;  // the kernel's memfd comes through it
};

void report(StartStage stage, int sys_errno) {
  const StartReport told{stage, sys_errno};
  [[maybe_unused]] const auto written = ::write(machine::power_fd_report, &told, sizeof told);
  ::close(machine::power_fd_report);
}

// Keys pressed at somebody's terminal are not for a node; SIGTERM switches it off.
void ignore_terminal() {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGPIPE}) {
    std::signal(signal, SIG_IGN);
  }
}

struct KernelDescriptors {
  UniqueFd starter_channel;
  UniqueFd power_channel;
  UniqueFd power_pidfd;
  int starter_pidfd;
  UniqueFd exec_report;
};
constexpr int exec_report_fd = 10;

int if_open(int fd) { return ::fcntl(fd, F_GETFD) < 0 ? -1 : fd; }

// In the child: from the fork to exec.
[[noreturn]] void become_kernel(const NodeOptions& options, const KernelDescriptors& fds,
                                pid_t parent) {
  if (options.tied) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it died before we were tied to it
  machine::reset_signals();
  const machine::FdMove moves[] = {
      {0, 0},
      {1, 1},
      {2, 2},
      {if_open(machine::kernel_fd_monitor), machine::kernel_fd_monitor},
      {fds.starter_channel.get(), machine::kernel_fd_starter},
      {fds.power_channel.get(), machine::kernel_fd_power},
      {if_open(machine::kernel_fd_lock), machine::kernel_fd_lock},
      {fds.power_pidfd.get(), machine::kernel_fd_power_pidfd},
      {fds.starter_pidfd, machine::kernel_fd_starter_pidfd},
      {fds.exec_report.get(), exec_report_fd},
  };
  if (machine::place_descriptors(moves)) {
    ::fcntl(exec_report_fd, F_SETFD, FD_CLOEXEC);
    ::execv(options.kernel[0], options.kernel);
  }
  const std::int32_t cause = errno;
  [[maybe_unused]] const auto written = ::write(exec_report_fd, &cause, sizeof cause);
  ::_exit(127);
}

// Returns 0 when the kernel's program runs, or an errno.
int start_kernel(const NodeOptions& options, KernelDescriptors fds, Node& node) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno;
  const UniqueFd reader(ends[0]);
  fds.exec_report.reset(ends[1]);
  const pid_t parent = ::getpid();
  node.kernel = ::fork();
  if (node.kernel == 0) become_kernel(options, fds, parent);
  if (node.kernel < 0) return errno;
  fds.exec_report.reset();
  node.kernel_pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, node.kernel, 0)));
  if (!node.kernel_pidfd) return errno;
  std::int32_t cause = 0;
  while (::read(reader.get(), &cause, sizeof cause) < 0 && errno == EINTR) {
  }
  return cause;
}

// Without a namespace, what tasks have left behind comes to us when the starter is gone.
void hunt_orphans(const Node& node) {
  ::syscall(SYS_pidfd_send_signal, node.starter.pidfd.get(), SIGKILL, nullptr, 0);
  ::syscall(SYS_pidfd_send_signal, node.kernel_pidfd.get(), SIGKILL, nullptr, 0);
  const std::string list = "/proc/self/task/" + std::to_string(::getpid()) + "/children";
  const std::uint64_t deadline = now_ns() + orphan_hunt_ns;
  while (now_ns() < deadline) {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    std::FILE* file = std::fopen(list.c_str(), "re");
    if (file == nullptr) return;
    int others = 0;
    for (int pid; std::fscanf(file, "%d", &pid) == 1;) {
      if (pid == node.kernel) continue;  // its memory takes a while to go
      ++others;
      ::kill(pid, SIGKILL);  // a child that only we reap: the number is its own
    }
    std::fclose(file);
    if (others == 0) return;
    ::usleep(500);
  }
}

// Everything on the node ends with this process.
[[noreturn]] void take_node_down(const Node& node) {
  static std::atomic<bool> begun{false};
  if (begun.exchange(true)) {
    for (;;) ::pause();
  }
  if (!node.starter.in_namespace) hunt_orphans(node);
  ::_exit(0);
}

void watch_lifeline(const Node& node, const machine::NodeHeader* header) {
  for (;;) {
    const auto state = machine::read_lifeline(header, machine::lifeline_power);
    if (state != machine::LifelineState::alive) take_node_down(node);
    machine::wait_lifelines(std::span(&header, 1), machine::lifeline_power,
                            now_ns() + lifeline_look_ns);
  }
}

// Takes the kernel's memfd and begins to watch its lifeline. False if more has to come first.
bool take_kernel_memory(const Node& node) {
  auto message = machine::channel_receive(node.kernel_channel.get(), 0);
  if (!message) return message.error().code == Code::host;
  if (message->end) return true;  // the kernel wants no watch; its death is still seen
  if (message->fds.size() != 1) return false;
  void* page = ::mmap(nullptr, sizeof(machine::NodeHeader), PROT_READ, MAP_SHARED,
                      message->fds[0].get(), 0);
  if (page == MAP_FAILED) return false;
  std::thread(watch_lifeline, std::cref(node), static_cast<machine::NodeHeader*>(page)).detach();
  return true;
}

[[noreturn]] void watch(Node& node) {
  pollfd waits[] = {{node.kernel_pidfd.get(), POLLIN, 0},
                    {node.starter.pidfd.get(), POLLIN, 0},
                    {node.kernel_channel.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(waits, std::size(waits), -1) < 0) continue;
    if (waits[0].revents != 0 || waits[1].revents != 0) take_node_down(node);
    if (waits[2].revents != 0 && take_kernel_memory(node)) waits[2].fd = -1;
  }
}

// Returns 0, or what could not be started in `stage`.
int start_all(const NodeOptions& options, Node& node, StartStage& stage) {
  auto starter_channel = machine::channel_pair();
  auto power_channel = machine::channel_pair();
  KernelDescriptors fds{};
  fds.power_pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!starter_channel || !power_channel || !fds.power_pidfd) return EMFILE;

  stage = StartStage::starter;
  auto starter = start_starter(options, std::move(starter_channel->second));
  if (!starter) return starter.error().sys_errno;
  node.starter = std::move(*starter);

  stage = StartStage::kernel;
  fds.starter_channel = std::move(starter_channel->first);
  fds.power_channel = std::move(power_channel->second);
  fds.starter_pidfd = node.starter.pidfd.get();
  node.kernel_channel = std::move(power_channel->first);
  return start_kernel(options, std::move(fds), node);
}

}  // namespace

int run_power_process(const NodeOptions& options) {
  ignore_terminal();
  install_safe_copy_handler();
  set_process_name("hive-power", options.number);
  set_oom_score_adj(node_oom_score);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (const int fd :
       {machine::kernel_fd_monitor, machine::kernel_fd_lock, machine::power_fd_report}) {
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  static Node node;  // outlives the thread that watches
  StartStage stage = StartStage::power;
  if (const int cause = start_all(options, node, stage); cause != 0) {
    report(stage, cause);
    return 127;
  }
  report(StartStage::running, 0);
  // The kernel has it now; whoever reads the other end must see when it is gone.
  ::close(machine::kernel_fd_monitor);
  watch(node);
}

}  // namespace hive::node
