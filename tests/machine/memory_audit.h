// Looks into a process for mappings of node memory that the firewall does not hold.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace hive::test {

// A line for each mapping of a node's memory that is writable though nothing fences it, or that a
// fork or a core dump would copy. `own_kernel`: the process is the node's own kernel, which alone
// may write its kernel memory. Empty when all is well; never empty if nothing is mapped.
std::vector<std::string> audit_node_mappings(pid_t process, bool own_kernel = false);

}  // namespace hive::test
