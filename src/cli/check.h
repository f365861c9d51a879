// hive check: what this host allows. Each capability is tried out in a child process of its own,
// so that a test can change or lose what it likes.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace hive::cli {

struct Finding {
  std::string name;
  bool ok = false;
  bool required = true;  // false: Hive works without it, with less
  std::string detail;
  std::string cure;  // one command, when it is not ok
};

// check_userfault.cpp: the firewall
std::vector<Finding> check_userfault();
// check_kernel.cpp: other system calls, namespaces
std::vector<Finding> check_kernel();
// check_limits.cpp: memory, addresses, descriptors, processes
std::vector<Finding> check_limits();

// Runs the test in a child and returns what it returned (0..255), or -1 when it was killed or took
// longer than ten seconds. 0 is success, anything else what the test means by it, such as an
// errno.
int in_child(const std::function<int()>& test);

// The only line of a file below /proc or /sys, or an empty text.
std::string first_line(const std::string& path);

}  // namespace hive::cli
