#include "node/starter_process.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/linux/power.h"
#include "machine/linux/process.h"
#include "node/starter.h"

// Newer than some C libraries.
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

namespace hive::node {
namespace {

// The descriptors of a starter: the standard ones, the lock, and these.
constexpr int starter_fd_channel = 3;
constexpr int starter_fd_parent = 4;

struct Identity {
  uid_t user = ::geteuid();
  gid_t group = ::getegid();
};

bool write_file(const char* path, const std::string& text) {
  const UniqueFd file(::open(path, O_WRONLY | O_CLOEXEC));
  return file &&
         ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// Everybody inside is who they are outside; an ordinary user may map nobody else.
bool map_identity(const Identity& who) {
  const auto itself = [](unsigned id) {
    return std::to_string(id) + " " + std::to_string(id) + " 1";
  };
  return write_file("/proc/self/setgroups", "deny") &&
         write_file("/proc/self/uid_map", itself(who.user)) &&
         write_file("/proc/self/gid_map", itself(who.group));
}

// In the child. `parent` is a socket to the power process.
[[noreturn]] void become_starter(const NodeOptions& options, int flags, const Identity& who,
                                 int channel, int parent) {
  std::int32_t cause = 0;
  if ((flags & CLONE_NEWUSER) != 0 && !map_identity(who)) cause = errno != 0 ? errno : EPERM;
  // After the change of identity, which would undo it.
  if (options.tied && ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) cause = errno;
  const machine::FdMove moves[] = {
      {0, 0},
      {1, 1},
      {2, 2},
      {::fcntl(machine::kernel_fd_lock, F_GETFD) < 0 ? -1 : machine::kernel_fd_lock,
       machine::kernel_fd_lock},
      {channel, starter_fd_channel},
      {parent, starter_fd_parent}};
  if (!machine::place_descriptors(moves)) ::_exit(127);
  for (const int fd : {machine::kernel_fd_lock, starter_fd_channel})
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  set_process_name("hive-starter", options.number);
  // The power process answers only if it is alive after we are tied to its life.
  char go = 0;
  if (::write(starter_fd_parent, &cause, sizeof cause) != sizeof cause || cause != 0) ::_exit(127);
  while (::read(starter_fd_parent, &go, 1) < 0 && errno == EINTR) {
  }
  if (go == 0) ::_exit(127);
  ::close(starter_fd_parent);
  run_starter(UniqueFd(starter_fd_channel), options.tied && (flags & CLONE_NEWPID) == 0);
}

// One try with these flags. Returns 0 or an errno.
int try_start(const NodeOptions& options, int flags, int channel, Starter& starter) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return errno;
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const Identity who;
  int pidfd = -1;
  // Like fork: the C library has no call that makes a namespace for the child alone.
  const long pid =
      ::syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, nullptr, &pidfd, nullptr, nullptr);
  if (pid == 0) become_starter(options, flags, who, channel, theirs.get());
  if (pid < 0) return errno;
  theirs.reset();
  starter.pid = static_cast<pid_t>(pid);
  starter.pidfd.reset(pidfd);
  starter.in_namespace = (flags & CLONE_NEWPID) != 0;
  std::int32_t cause = EPIPE;
  while (::read(ours.get(), &cause, sizeof cause) < 0 && errno == EINTR) {
  }
  const char go = 1;
  if (cause == 0 && ::send(ours.get(), &go, 1, MSG_NOSIGNAL) == 1) return 0;
  ::kill(starter.pid, SIGKILL);
  while (::waitpid(starter.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return cause != 0 ? cause : EPIPE;
}

}  // namespace

Result<Starter> start_starter(const NodeOptions& options, UniqueFd channel) {
  std::vector<int> ways;
  if (options.namespaces && ::geteuid() == 0) ways.push_back(CLONE_NEWPID);
  if (options.namespaces) ways.push_back(CLONE_NEWUSER | CLONE_NEWPID);
  ways.push_back(0);
  Starter starter;
  int cause = 0;
  for (const int flags : ways) {
    cause = try_start(options, flags, channel.get(), starter);
    if (cause == 0) return starter;
  }
  return fail(Code::host, "no starter", -1, cause);
}

}  // namespace hive::node
