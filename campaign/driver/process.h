// Programs that the driver starts: run to their end, or kept with their streams.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace hive::campaign {

using Words = std::vector<std::string>;

// SIGINT, SIGTERM and SIGHUP end every wait from here on, so that the machine is taken down.
void catch_interrupts();
int interrupted();  // the number of the signal, or 0
// While there is one, waits go on all the same: to take down what was started.
class Undisturbed {
 public:
  Undisturbed();
  Undisturbed(const Undisturbed&) = delete;
  Undisturbed& operator=(const Undisturbed&) = delete;
  ~Undisturbed();
};

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor() { reset(); }
  int get() const { return fd_; }
  void reset();
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

// A program that runs, with a pipe on its standard input and one on its output. What it complains
// about goes to a file. Killed and reaped when the object goes.
class Child {
 public:
  // `environment`: NAME=value, besides ours. Throws std::runtime_error when it can not be started.
  Child(const Words& words, const Words& environment, const std::string& error_file);
  Child(Child&&) noexcept;
  Child& operator=(Child&&) noexcept;
  ~Child();

  bool tell(const std::string& line);
  // The next line of its output; none at the deadline, at its end, or when interrupted.
  std::optional<std::string> line(std::uint64_t deadline_ns);
  // Whether it has ended; then `status` says how, as from waitpid.
  bool has_ended();
  bool wait(std::uint64_t deadline_ns);
  int status() const { return status_; }
  pid_t pid() const { return pid_; }
  void kill(int signal);

 private:
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = 0;
  Descriptor in_;
  Descriptor out_;
  std::string pending_;
};

struct Done {
  int status = -1;  // exit status; 128 + N for signal N; -1 when it took too long
  std::string output;
};
Done run(const Words& words, const Words& environment, const std::string& error_file,
         std::uint64_t timeout_ns);

// 128 + N for signal N.
int exit_status(int wait_status);

}  // namespace hive::campaign
