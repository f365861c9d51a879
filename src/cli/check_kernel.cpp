// System calls that Hive stands on, and namespaces.

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/check.h"
#include "machine/layout.h"
#include "monitor/host.h"

namespace hive::cli {
namespace {

constexpr const char* newer_kernel = "sudo apt-get install -y linux-image-amd64   # and boot it";

int try_futex_waitv() {
  std::uint32_t word = 1;
  futex_waitv waiter{};
  waiter.uaddr = reinterpret_cast<std::uint64_t>(&word);
  waiter.val = word + 1;  // it has changed already: the call returns at once
  waiter.flags = FUTEX_32;
  const auto done = ::syscall(SYS_futex_waitv, &waiter, 1, 0, nullptr, CLOCK_MONOTONIC);
  return done < 0 && errno == EAGAIN ? 0 : ENOSYS;
}

int try_pidfd() {
  const pid_t child = ::fork();
  if (child < 0) return errno;
  if (child == 0) {
    for (;;) ::pause();
  }
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  const int error = errno;
  if (pidfd < 0 || ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) != 0) {
    ::kill(child, SIGKILL);
    return error;
  }
  pollfd wait{pidfd, POLLIN, 0};
  if (::poll(&wait, 1, 5000) != 1) return ETIMEDOUT;
  siginfo_t info{};
  return ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED) == 0 ? 0 : errno;
}

int try_seals() {
  constexpr std::size_t bytes = machine::page_bytes;
  const int memory = ::memfd_create("hive-check", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memory < 0 || ::ftruncate(memory, bytes) != 0) return errno;
  if (::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0) == MAP_FAILED)
    return errno;
  if (::fcntl(memory, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) != 0)
    return errno;
  void* later = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  return later == MAP_FAILED && errno == EPERM ? 0 : EINVAL;
}

// A filter that refuses one harmless call, to see that it is refused.
int try_seccomp() {
  std::array<sock_filter, 4> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) return errno;
  return ::syscall(SYS_getppid) == -1 && errno == EPERM ? 0 : EINVAL;
}

Finding system_call(const char* name, int error, const char* what_for) {
  Finding finding;
  finding.name = name;
  finding.ok = error == 0;
  finding.detail = finding.ok
                       ? what_for
                       : fmt::format("{}: {}", what_for,
                                     error < 0 ? "the test was killed" : std::strerror(error));
  finding.cure = newer_kernel;
  return finding;
}

// Which of the switches that hosts have for it is off.
std::string namespace_cure() {
  if (first_line("/proc/sys/kernel/unprivileged_userns_clone") == "0") {
    return "sudo sysctl -w kernel.unprivileged_userns_clone=1";
  }
  if (first_line("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1") {
    return "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
  }
  if (first_line("/proc/sys/user/max_user_namespaces") == "0") {
    return "sudo sysctl -w user.max_user_namespaces=15000";
  }
  if (first_line("/proc/sys/user/max_pid_namespaces") == "0") {
    return "sudo sysctl -w user.max_pid_namespaces=15000";
  }
  return "docker run --security-opt seccomp=unconfined ...   # a profile that permits unshare";
}

Finding check_namespaces() {
  Finding finding;
  finding.name = "namespaces";
  finding.required = false;
  finding.ok = in_child([] { return monitor::host_allows_namespaces() ? 0 : 1; }) == 0;
  finding.detail = finding.ok
                       ? "tasks of a node are in a PID namespace, and die with it at once"
                       : "no PID namespace: a task that forks away from its parent may outlive "
                         "its node";
  finding.cure = namespace_cure();
  return finding;
}

Finding check_yama() {
  const std::string scope = first_line("/proc/sys/kernel/yama/ptrace_scope");
  Finding finding;
  finding.name = "debugger";
  finding.required = false;
  finding.ok = scope.empty() || scope == "0" || ::geteuid() == 0;
  finding.detail = finding.ok ? "gdb can attach to running tasks"
                              : fmt::format(
                                    "kernel.yama.ptrace_scope is {}: gdb can not attach to "
                                    "running tasks; nothing else needs it",
                                    scope);
  finding.cure = "sudo sysctl -w kernel.yama.ptrace_scope=0";
  return finding;
}

}  // namespace

std::vector<Finding> check_kernel() {
  return {
      system_call("futex_waitv", in_child(&try_futex_waitv),
                  "waits for many lifelines (Linux 5.16)"),
      system_call("pidfd", in_child(&try_pidfd), "switches nodes off (Linux 5.4)"),
      system_call("memfd seals", in_child(&try_seals), "keep kernel memory read-only (Linux 5.1)"),
      system_call("seccomp", in_child(&try_seccomp), "keeps tasks from going round the firewall"),
      check_namespaces(),
      check_yama(),
  };
}

}  // namespace hive::cli
