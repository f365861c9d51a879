// What the host has for a machine: memory, processors, namespaces.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hive::monitor {

struct HostMemory {
  std::uint64_t available = 0;  // bytes that a new machine could take now
  std::uint64_t total = 0;
  std::string limited_by;  // empty, or the control group whose limit is the lower one
};
HostMemory host_memory();

// The processors that this process may use, in ascending order; never empty.
std::vector<int> allowed_processors();

// One set for each cell: a share of its own when there are enough processors, else all for all.
std::vector<std::vector<int>> share_processors(const std::vector<int>& allowed, int cells);

// Tries in a child whether a PID namespace can be had (with a user namespace when not root).
bool host_allows_namespaces();

// Lets this process and its children open as many descriptors as the hard limit allows. A kernel
// holds some for each task and each other cell; the soft limit of 1,024 ends at some 200 tasks.
void raise_descriptor_limit();

// The path of a helper of `hive`, such as hive-cell: beside the running program, as in a build
// directory, else where an installation keeps them (bin/hive, libexec/hive/hive-cell). Whether it
// is there is for the caller to see. Without /proc it has no directory in it.
std::string helper_program(const std::string& name);

}  // namespace hive::monitor
