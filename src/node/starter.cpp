#include "node/starter.h"

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <deque>
#include <map>

#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/linux/fd_channel.h"
#include "machine/linux/starter_channel.h"
#include "node/task_process.h"

namespace hive::node {
namespace {

using machine::StarterAnswer;
using Kind = machine::StarterEvent::Kind;

// Tasks of one cell at the same time. More are refused, so that a hog runs out before the host
// does.
constexpr std::size_t tasks_max = 4096;
constexpr int retry_ms = 10;

struct Task {
  std::uint64_t cookie = 0;
  UniqueFd pidfd;        // until `started` is told
  UniqueFd exec_report;  // until it is known whether the program runs
};

struct Answer {
  StarterAnswer body;
  UniqueFd pidfd;
};

class StarterLoop {
 public:
  StarterLoop(UniqueFd channel, bool ties_tasks)
      : channel_(std::move(channel)), ties_tasks_(ties_tasks) {}

  void run() {
    block_child_signal();
    for (;;) {
      wait();
      settle_starts();
      reap();
      if (!take_request() || !send_answers()) return;
    }
  }

 private:
  void block_child_signal() {
    sigset_t children;
    ::sigemptyset(&children);
    ::sigaddset(&children, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &children, nullptr);
    signals_.reset(::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK));
  }

  // The one place where the starter sleeps: for as long as nothing happens. An answer that Linux
  // has no resources for is tried again after a while.
  void wait() {
    std::vector<pollfd> waits;
    // While answers wait for room no new work is taken, which bounds their number.
    const short events = answers_.empty() ? POLLIN : POLLOUT;
    waits.push_back({.fd = channel_.get(), .events = events, .revents = 0});
    waits.push_back({.fd = signals_.get(), .events = POLLIN, .revents = 0});
    for (const auto& [pid, task] : tasks_) {
      if (!task.exec_report) continue;
      waits.push_back({.fd = task.exec_report.get(), .events = POLLIN, .revents = 0});
    }
    if (starved_) waits[0].fd = -1;
    ::poll(waits.data(), waits.size(), starved_ ? retry_ms : -1);
    signalfd_siginfo gone;
    while (::read(signals_.get(), &gone, sizeof gone) > 0) {
    }
    channel_ready_ = waits[0].revents != 0;
  }

  void settle_starts() {
    for (auto at = tasks_.begin(); at != tasks_.end();) {
      const auto next = std::next(at);
      if (at->second.exec_report) settle_start(at);
      at = next;
    }
  }

  // Tells whether the program runs, if that is known by now.
  void settle_start(std::map<pid_t, Task>::iterator at) {
    Task& task = at->second;
    std::int32_t cause = 0;
    const ssize_t got = ::read(task.exec_report.get(), &cause, sizeof cause);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    task.exec_report.reset();
    if (got == sizeof cause) {
      tell(Kind::failed, cause, task.cookie);
      tasks_.erase(at);  // its end is nobody's business: reaped like an orphan
    } else {
      tell(Kind::started, 0, task.cookie, std::move(task.pidfd));
    }
  }

  // Everything that has ended, orphans of tasks too.
  void reap() {
    int status = 0;
    for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      auto at = tasks_.find(pid);
      if (at != tasks_.end() && at->second.exec_report) settle_start(at);
      at = tasks_.find(pid);
      if (at == tasks_.end()) continue;
      tell(Kind::ended, status, at->second.cookie);
      tasks_.erase(at);
    }
  }

  // False when the kernel has closed the channel.
  bool take_request() {
    if (!channel_ready_ || !answers_.empty()) return true;
    auto message = machine::channel_receive(channel_.get(), 0);
    if (!message) return message.error().code != Code::host;
    if (message->end) return false;
    auto request = machine::decode_task_start(std::move(*message));
    if (!request) return true;  // garbage is dropped
    const std::uint64_t cookie = request->start.cookie;
    if (tasks_.size() >= tasks_max) {
      tell(Kind::failed, EAGAIN, cookie);
      return true;
    }
    TaskProcess process = start_task(*request, ties_tasks_);
    if (process.pid < 0) {
      tell(Kind::failed, process.sys_errno, cookie);
    } else {
      tasks_[process.pid] = {cookie, std::move(process.pidfd), std::move(process.exec_report)};
    }
    return true;
  }

  void tell(Kind kind, std::int32_t status, std::uint64_t cookie, UniqueFd pidfd = UniqueFd()) {
    answers_.push_back({{static_cast<std::uint32_t>(kind), status, cookie}, std::move(pidfd)});
  }

  // False when the kernel is gone.
  bool send_answers() {
    starved_ = false;
    while (!answers_.empty()) {
      const Answer& answer = answers_.front();
      const int fd = answer.pidfd.get();
      const std::span<const int> fds(&fd, answer.pidfd ? 1 : 0);
      auto sent = machine::channel_send(channel_.get(), machine::bytes_of(answer.body), fds, 0);
      if (!sent) {
        starved_ = sent.error().code == Code::exhausted;
        return sent.error().code != Code::host;
      }
      answers_.pop_front();
    }
    return true;
  }

  UniqueFd channel_;
  UniqueFd signals_;
  bool ties_tasks_;
  bool channel_ready_ = false;
  bool starved_ = false;
  std::map<pid_t, Task> tasks_;
  std::deque<Answer> answers_;
};

}  // namespace

void run_starter(UniqueFd channel, bool ties_tasks) {
  // Orphans of tasks come to us; in a namespace they do anyway.
  if (ties_tasks) ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  StarterLoop(std::move(channel), ties_tasks).run();
  ::_exit(0);
}

}  // namespace hive::node
