#include "monitor/signals.h"

#include <atomic>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"

namespace hive::monitor {
namespace {

std::atomic<int> write_end{-1};

void on_signal(int signal) {
  const int saved_errno = errno;
  const auto byte = static_cast<unsigned char>(signal);
  [[maybe_unused]] const auto n = ::write(write_end.load(), &byte, 1);
  errno = saved_errno;
}

void on_pipe(int) {}  // the write fails with EPIPE, and that is all

}  // namespace

SignalPipe::SignalPipe() {
  int ends[2];
  HIVE_CHECK(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  read_end_.reset(ends[0]);
  write_end.store(ends[1]);
  struct sigaction action {};
  action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
  action.sa_handler = &on_signal;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD})
    ::sigaction(signal, &action, nullptr);
  action.sa_handler = &on_pipe;
  ::sigaction(SIGPIPE, &action, nullptr);
}

int SignalPipe::take() {
  unsigned char byte = 0;
  return ::read(read_end_.get(), &byte, 1) == 1 ? byte : 0;
}

}  // namespace hive::monitor
