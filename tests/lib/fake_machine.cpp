#include "fake_machine.h"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/time.h"
#include "sanitized.h"

namespace hive::test {
namespace {

constexpr int patience_ms = 30'000;

bool readable(int fd) {
  pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = ::poll(&wait, 1, patience_ms);
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

std::string read_line(int fd) {
  std::string line;
  char c = 0;
  while (readable(fd) && ::read(fd, &c, 1) == 1) {
    if (c == '\n') return line;
    line += c;
  }
  return {};
}

std::array<UniqueFd, 2> make_pipe() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

FakeMachine::FakeMachine(int cells, machine::FirewallMode mode) {
  root_ = "/tmp/hive-lib-test-XXXXXX";
  EXPECT_NE(::mkdtemp(root_.data()), nullptr);
  dir_ = root_ + "/hive";
  EXPECT_EQ(::mkdir(dir_.c_str(), 0700), 0);
  ::setenv("HIVE_RUNTIME_DIR", root_.c_str(), 1);
  for (const char* name : {"HIVE_MACHINE", "HIVE_CELL", "HIVE_TASK_COOKIE"}) ::unsetenv(name);
  cells_.resize(static_cast<std::size_t>(cells));
  for (int cell = 0; cell < cells; ++cell) start(cell, mode);
  for (Cell& cell : cells_) EXPECT_EQ(read_line(cell.output.get()), "ready");
}

FakeMachine::~FakeMachine() {
  for (std::size_t i = 0; i < cells_.size(); ++i) kill(static_cast<int>(i));
  std::error_code ignored;
  std::filesystem::remove_all(root_, ignored);
}

machine::Layout FakeMachine::layout() const {
  return machine::make_layout(static_cast<int>(cells_.size()), user_bytes);
}

void FakeMachine::start(int cell, machine::FirewallMode mode) {
  auto input = make_pipe();
  auto output = make_pipe();
  const std::string number = std::to_string(cell);
  const std::string cells = std::to_string(cells_.size());
  const std::string bytes = std::to_string(user_bytes);
  const std::string mode_number = std::to_string(static_cast<std::uint32_t>(mode));
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(input[0].get(), STDIN_FILENO);
    ::dup2(output[1].get(), STDOUT_FILENO);
    ::execl(FAKE_CELL_PROGRAM, FAKE_CELL_PROGRAM, dir_.c_str(), number.c_str(), cells.c_str(),
            bytes.c_str(), mode_number.c_str(), nullptr);
    ::_exit(127);
  }
  cells_[static_cast<std::size_t>(cell)] = {pid, std::move(input[1]), std::move(output[0])};
}

std::string FakeMachine::ask(int cell, const std::string& line) {
  Cell& c = cells_[static_cast<std::size_t>(cell)];
  const std::string text = line + "\n";
  EXPECT_EQ(::write(c.input.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return read_line(c.output.get());
}

void FakeMachine::kill(int cell) {
  Cell& c = cells_[static_cast<std::size_t>(cell)];
  if (c.pid <= 0) return;
  ::kill(c.pid, SIGKILL);
  reap(c.pid);
  c.pid = -1;
}

void FakeMachine::tell_down(int cell, int down) {
  CellSet live = CellSet::first(static_cast<int>(cells_.size()));
  live.remove(down);
  EXPECT_EQ(ask(cell, "live " + std::to_string(live.bits())), "done");
}

Child::Child(const std::function<int(Child&)>& body) {
  auto down = make_pipe();
  auto up = make_pipe();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    in_ = std::move(down[0]);
    out_ = std::move(up[1]);
    down[1].reset();
    up[0].reset();
    const int status = body(*this);
    ::_exit(status);
  }
  in_ = std::move(up[0]);
  out_ = std::move(down[1]);
}

Child::~Child() {
  if (pid_ > 0 && !ended_) kill();
}

void Child::tell() {
  const char byte = '.';
  EXPECT_EQ(::write(out_.get(), &byte, 1), 1);
}

bool Child::hear() {
  char byte = 0;
  return readable(in_.get()) && ::read(in_.get(), &byte, 1) == 1;
}

int Child::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  ended_ = true;
  return status;
}

void Child::kill() {
  ::kill(pid_, SIGKILL);
  wait();
}

bool died_of_fault(int status) {
  const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  if (signal == SIGBUS || signal == SIGSEGV) return true;
  // A sanitizer's own handler reports the fault, and then ends as abort_on_error has it.
  return under_sanitizer && (signal == SIGABRT || (WIFEXITED(status) && WEXITSTATUS(status) != 0));
}

int count_descriptors() {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

int count_mappings() {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  int count = 0;
  while (std::getline(maps, line)) ++count;
  return count;
}

int count_filters() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("Seccomp_filters:")) return std::stoi(line.substr(line.find(':') + 1));
  }
  return -1;
}

bool wait_until(const std::function<bool()>& condition) {
  const std::uint64_t limit = now_ns() + 30 * ns_per_s;
  while (!condition()) {
    if (now_ns() > limit) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace hive::test
