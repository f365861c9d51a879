// How the power process creates the starter: in a PID namespace where the host allows it.
#pragma once

#include <sys/types.h>

#include <hive/error.h>
#include "base/fd.h"
#include "node/node_options.h"

namespace hive::node {

struct Starter {
  pid_t pid = -1;
  UniqueFd pidfd;
  bool in_namespace = false;
};

// `channel`: the starter's end of its channel to the kernel; the caller's copy is closed. Errors:
// exhausted, host.
Result<Starter> start_starter(const NodeOptions& options, UniqueFd channel);

}  // namespace hive::node
