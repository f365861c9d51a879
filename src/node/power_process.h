// The power process: parent of everything that runs on a node. It starts the starter and the
// kernel, and ends when either of them does or when the kernel's lifeline is marked; its end takes
// the node down with it (power.h).
#pragma once

#include "node/node_options.h"

namespace hive::node {

// Returns the exit status of the process, if it returns.
int run_power_process(const NodeOptions& options);

}  // namespace hive::node
