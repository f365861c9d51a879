#include "cli/bench_program.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "monitor/host.h"

namespace hive::cli {
namespace {

using monitor::Outcome;
using monitor::refuse;

constexpr std::size_t output_max = std::size_t{1} << 20;
constexpr int poll_ms = 200;  // an interrupt that comes just before a poll is seen after this

std::atomic<int> caught{0};

// A pipe that a child writes to.
struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
  Pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return;
    read_end.reset(fds[0]);
    write_end.reset(fds[1]);
  }
};

class SpawnActions {
 public:
  SpawnActions(int output, int error) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions_, error, STDERR_FILENO);
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

// False at the end of the stream.
bool take(int fd, std::string& text) {
  std::array<char, 4096> bytes;
  const ssize_t n = ::read(fd, bytes.data(), bytes.size());
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  if (text.size() < output_max) text.append(bytes.data(), static_cast<std::size_t>(n));
  return n > 0;
}

// Reads both streams to their ends. False: the deadline, or an interrupt.
bool collect(int output_fd, int error_fd, std::string& output, std::string& error) {
  const std::uint64_t deadline_ns = now_ns() + program_timeout_ns;
  std::array<pollfd, 2> polls = {{{output_fd, POLLIN, 0}, {error_fd, POLLIN, 0}}};
  while (polls[0].fd >= 0 || polls[1].fd >= 0) {
    if (interrupted() || now_ns() >= deadline_ns) return false;
    if (::poll(polls.data(), polls.size(), poll_ms) <= 0) continue;
    if (polls[0].revents != 0 && !take(output_fd, output)) polls[0].fd = -1;
    if (polls[1].revents != 0 && !take(error_fd, error)) polls[1].fd = -1;
  }
  return true;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = [](int number) { caught.store(number); };
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
}

bool interrupted() { return caught.load() != 0; }

monitor::Refusal interrupted_refusal() {
  return {monitor::exit_signal_base + caught.load(), "interrupted"};
}

Outcome<ProgramRun> run_program(const std::vector<std::string>& words) {
  Pipe output;
  Pipe error;
  if (!output.write_end || !error.write_end) {
    return refuse(monitor::exit_failed,
                  fmt::format("no pipe for a program: {}", std::strerror(errno)));
  }
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ProgramRun run;
  pid_t child = -1;
  const std::uint64_t begin = now_ns();
  const SpawnActions actions(output.write_end.get(), error.write_end.get());
  const int refused = ::posix_spawn(&child, words.front().c_str(), actions.get(), nullptr,
                                    arguments.data(), environ);
  if (refused != 0) {
    return refuse(monitor::exit_failed, fmt::format("{}: can not be executed: {}", words.front(),
                                                    std::strerror(refused)));
  }
  output.write_end.reset();
  error.write_end.reset();
  std::string complaint;
  const bool ended = collect(output.read_end.get(), error.read_end.get(), run.output, complaint);
  if (!ended) ::kill(child, interrupted() ? SIGTERM : SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  run.wall_ns = now_ns() - begin;
  if (interrupted()) return tl::unexpected(interrupted_refusal());
  if (!ended || status != 0) {
    const std::string why = ended ? first_line(complaint) : "it takes too long";
    return refuse(monitor::exit_failed, fmt::format("{}: {}", words.front(), why));
  }
  return run;
}

Outcome<double> number_in(const ProgramRun& run, const std::string& program) {
  char* end = nullptr;
  const double number = std::strtod(run.output.c_str(), &end);
  if (end != run.output.c_str()) return number;
  return refuse(monitor::exit_failed, fmt::format("{} printed no number", program));
}

Outcome<double> run_for_number(const std::vector<std::string>& words) {
  const auto run = run_program(words);
  if (!run) return tl::unexpected(run.error());
  return number_in(*run, words.front());
}

}  // namespace hive::cli
