// What hive-node was told on its command line.
#pragma once

#include <string>

namespace hive::node {

struct NodeOptions {
  std::string number;  // of the node, for names
  bool namespaces = true;
  bool tied = true;    // false: a test's; nothing ends with this process
  char** kernel = nullptr;  // path and arguments, ends with a null
};

// Linux's OOM killer takes tasks before kernels and power processes. Lowering a score needs
// privilege, raising it does not. Best effort; async-signal-safe.
inline constexpr int node_oom_score = -500;
int task_oom_score() noexcept;
void set_oom_score_adj(int value) noexcept;

// The name that ps shows, of at most 15 characters.
void set_process_name(const char* role, const std::string& number);

}  // namespace hive::node
