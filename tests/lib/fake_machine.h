// A machine of fake cells (fake_cell.cpp) in a runtime directory of its own, and tasks of it in
// child processes. Sets the environment so that hive::attach() finds it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/types.h>

#include "base/fd.h"
#include "machine/layout.h"
#include "machine/linux/fence.h"

namespace hive::test {

class FakeMachine {
 public:
  static constexpr std::uint64_t user_bytes = std::uint64_t{16} << 20;  // of each cell

  explicit FakeMachine(int cells, machine::FirewallMode mode = machine::probe_firewall_mode());
  ~FakeMachine();
  FakeMachine(const FakeMachine&) = delete;
  FakeMachine& operator=(const FakeMachine&) = delete;

  const std::string& dir() const { return dir_; }
  pid_t pid(int cell) const { return cells_[static_cast<std::size_t>(cell)].pid; }
  machine::Layout layout() const;

  // Sends a line to a cell and returns its answer.
  std::string ask(int cell, const std::string& line);
  // Kills a cell's process and waits until it is gone.
  void kill(int cell);
  // As agreement would: `cell` is told that `down` has failed.
  void tell_down(int cell, int down);

 private:
  struct Cell {
    pid_t pid = -1;
    UniqueFd input;
    UniqueFd output;
  };
  void start(int cell, machine::FirewallMode mode);

  std::string root_;
  std::string dir_;
  std::vector<Cell> cells_;
};

// A child process that runs `body` and exits with what it returns. Killed if it outlives this.
class Child {
 public:
  explicit Child(const std::function<int(Child&)>& body);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // One byte to the other side, and one from it, which is waited for (at most 30 s; then false).
  void tell();
  bool hear();

  pid_t pid() const { return pid_; }
  // The wait status of its end.
  int wait();
  // SIGKILL, and waits.
  void kill();

 private:
  pid_t pid_ = -1;
  UniqueFd in_;
  UniqueFd out_;
  bool ended_ = false;
};

// How a process ends that dies of a fault: by the signal, or as the sanitizers have it.
bool died_of_fault(int status);

// The number of open descriptors, of mappings, and of seccomp filters of this process.
int count_descriptors();
int count_mappings();
int count_filters();

// Waits until condition() holds, at most 30 s.
bool wait_until(const std::function<bool()>& condition);

}  // namespace hive::test
