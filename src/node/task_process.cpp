#include "node/task_process.h"

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "machine/linux/process.h"
#include "node/node_options.h"

namespace hive::node {
namespace {

constexpr int exec_report_fd = 3;

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const auto& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void give_up(int report) {
  const std::int32_t cause = errno;
  [[maybe_unused]] const auto written = ::write(report, &cause, sizeof cause);
  ::_exit(127);
}

// Whether there is a file of that name where execvp() looks for it. No memory is allocated.
bool is_in_path(const char* program) {
  const char* path = std::getenv("PATH");
  if (std::strchr(program, '/') != nullptr || path == nullptr) return true;
  const std::size_t length = std::strlen(program);
  std::array<char, PATH_MAX> candidate;
  for (;; ++path) {
    const std::size_t prefix = std::strcspn(path, ":");
    if (prefix + 1 + length < candidate.size()) {
      std::memcpy(candidate.data(), path, prefix);
      candidate[prefix] = '/';
      std::memcpy(candidate.data() + prefix + 1, program, length + 1);
      if (::access(prefix == 0 ? program : candidate.data(), F_OK) == 0) return true;
    }
    path += prefix;
    if (*path == 0) return false;
  }
}

// In the child: from the fork to exec.
[[noreturn]] void become_task(const machine::StarterRequest& request, char** arguments,
                              char** environment, int report, pid_t parent) {
  if (parent != 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // it died before we were tied to it
  }
  ::setsid();
  machine::reset_signals();
  set_oom_score_adj(task_oom_score());
  const auto fd = [&](machine::StarterDescriptor which) { return request.fds[which].get(); };
  if (::fchdir(fd(machine::starter_working_directory)) != 0) give_up(report);
  const machine::FdMove moves[] = {{fd(machine::starter_standard_input), 0},
                                   {fd(machine::starter_standard_output), 1},
                                   {fd(machine::starter_standard_error), 2},
                                   {report, exec_report_fd}};
  if (!machine::place_descriptors(moves)) give_up(report);
  ::fcntl(exec_report_fd, F_SETFD, FD_CLOEXEC);
  environ = environment;  // PATH is looked up in the task's environment
  ::execvp(arguments[0], arguments);
  // A directory of PATH that we may not search makes this EACCES, also when the program is
  // nowhere.
  if (errno == EACCES) errno = is_in_path(arguments[0]) ? EACCES : ENOENT;
  give_up(exec_report_fd);
}

}  // namespace

TaskProcess start_task(const machine::StarterRequest& request, bool tie_to_parent) {
  TaskProcess task;
  std::vector<char*> arguments = pointers_to(request.start.arguments);
  std::vector<char*> environment = pointers_to(request.start.environment);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    task.sys_errno = errno;
    return task;
  }
  task.exec_report.reset(ends[0]);
  const UniqueFd writer(ends[1]);
  const pid_t parent = ::getpid();
  task.pid = ::fork();
  if (task.pid == 0) {
    become_task(request, arguments.data(), environment.data(), writer.get(),
                tie_to_parent ? parent : 0);
  }
  task.sys_errno = task.pid < 0 ? errno : 0;
  if (task.pid < 0) return task;
  // Nobody but us reaps it, so the number is still its own.
  task.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, task.pid, 0)));
  if (!task.pidfd) {
    task.sys_errno = errno;
    ::kill(task.pid, SIGKILL);  // reaped with the orphans
    task.pid = -1;
  }
  return task;
}

}  // namespace hive::node
