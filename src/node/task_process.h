// How the starter creates the process of a task.
#pragma once

#include <sys/types.h>

#include "base/fd.h"
#include "machine/linux/starter_channel.h"

namespace hive::node {

struct TaskProcess {
  pid_t pid = -1;
  int sys_errno = 0;  // why there is none
  UniqueFd pidfd;
  // Ends without a word when the program runs; otherwise an errno as int32 comes first.
  UniqueFd exec_report;
};

// The task has its own session, so that signals of a terminal reach it only through hive. With
// `tie_to_parent` Linux kills it when the starter dies.
TaskProcess start_task(const machine::StarterRequest& request, bool tie_to_parent);

}  // namespace hive::node
