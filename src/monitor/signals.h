// Signals as something to poll. Handlers and not a signalfd: the nodes are started by exec, which
// resets handlers, but would hand a blocked mask or an ignored signal down to every task.
#pragma once

#include "base/fd.h"

namespace hive::monitor {

class SignalPipe {
 public:
  // Catches SIGINT, SIGTERM, SIGHUP and SIGCHLD, and makes SIGPIPE harmless. One for each process,
  // which keeps it to its end.
  SignalPipe();
  int fd() const { return read_end_.get(); }
  int take();  // the next signal, or 0

 private:
  UniqueFd read_end_;
};

}  // namespace hive::monitor
