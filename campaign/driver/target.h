// Processes of the machine that are to be signalled: found by what they run, pinned by a pidfd,
// and looked at once more when pinned. A number alone is never trusted: tasks live in namespaces
// in which their own numbers mean nothing here, and a number is soon somebody else's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "campaign/driver/process.h"

namespace hive::campaign {

class Target {
 public:
  Target() = default;
  // The process of this number if its command line is as it must be.
  static Target pin(int pid, const std::function<bool(const Words&)>& is_it);
  // Any process whose command line is so.
  static Target find(const std::function<bool(const Words&)>& is_it);

  explicit operator bool() const { return pidfd_ && *pidfd_; }
  bool signal(int number) const;
  int pid() const { return pid_; }
  std::shared_ptr<Descriptor> pidfd() const { return pidfd_; }

 private:
  int pid_ = -1;
  std::shared_ptr<Descriptor> pidfd_;
};

// A file of /proc/PID. What is gone, or goes while it is read, is empty: a stream would throw.
std::string read_of_process(int pid, const char* what);

// The last part of a path.
std::string base_name(const std::string& path);
// Whether the words have `first` and right after it `second`.
bool has_option(const Words& words, const std::string& first, const std::string& second);
std::string option_value(const Words& words, const std::string& option);

}  // namespace hive::campaign
