// The starter: parent of a node's tasks, and first process of their PID namespace where there is
// one, so that its end is the end of all that they have started.
#pragma once

#include "base/fd.h"

namespace hive::node {

// Serves requests for tasks from `channel` until the kernel closes it. In a namespace of its own
// all other processes there die with it; otherwise tasks are to be tied to it.
[[noreturn]] void run_starter(UniqueFd channel, bool ties_tasks);

}  // namespace hive::node
