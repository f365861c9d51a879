// Power: each node has a power process with no memory to tear down, the parent of everything that
// runs on the node. SIGKILL of it is the node's power switch.
//
//   power process ──┬── kernel     (PDEATHSIG; host pid namespace, so that it can switch others
//                   │               off)
//                   └── starter ──── tasks   (PDEATHSIG; a pid namespace of its own where the host
//                                             allows: all in it dies when the starter does)
//
// The power process watches the kernel's lifeline and the starter, and ends when either does; with
// it goes the node. Proof that a node is off: its power process and its starter are both dead (the
// starter, first of its namespace, is dead only after all others in it).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <hive/error.h>
#include "base/fd.h"

namespace hive::machine {

// What a kernel finds open when it starts (dup2'ed to these numbers, not close-on-exec).
inline constexpr int kernel_fd_monitor = 3;  // channel to the monitor
inline constexpr int kernel_fd_starter = 4;  // channel to the starter
inline constexpr int kernel_fd_power = 5;  // channel to the power process: takes the kernel memfd
inline constexpr int kernel_fd_lock = 6;     // the machine's lock file, held by being open
inline constexpr int kernel_fd_power_pidfd = 7;
inline constexpr int kernel_fd_starter_pidfd = 8;

struct NodeStart {
  std::string node_program;         // path of hive-node
  std::vector<std::string> kernel;  // path and arguments of the kernel
  int node = 0;
  int monitor_channel = -1;     // becomes kernel_fd_monitor; kept by the caller too
  int lock = -1;                // becomes kernel_fd_lock; power process and starter hold it too
  int log = -1;                 // standard output and error of all three
  std::vector<int> processors;  // CPU set of the node
  bool namespaces = true;       // false: do without, as on a host that refuses them
  bool untied = false;          // a test's: what it starts does not end with the power process
};

struct RunningNode {
  int power_pid = -1;
  UniqueFd power_pidfd;
};

// Starts the power process (by exec of hive-node), which starts the starter and the kernel, and
// returns when the kernel's program runs; at most 30 s. After an error nothing is left. The caller
// reaps the power process. Errors: host (with the errno of what could not be started), exhausted,
// timed_out, bad_argument.
Result<RunningNode> start_node(const NodeStart& start);

// The same for a caller with other things to do: returns at once. `report` becomes readable when
// the kernel's program runs, or does not; node_started() then says which. After an error from it
// the caller kills and reaps the power process.
struct StartingNode {
  RunningNode node;
  UniqueFd report;
};
Result<StartingNode> begin_node(const NodeStart& start);
// Errors: host; timed_out (nothing has been reported yet).
Result<void> node_started(int report, int node);

// One task to be started; what a kernel sends to its starter. Descriptors 0, 1, 2 and the working
// directory come as descriptors.
struct TaskStart {
  std::uint64_t cookie = 0;  // chosen by the kernel, comes back with the answers
  // The first one is the program, looked up in the PATH of `environment`.
  std::vector<std::string> arguments;
  std::vector<std::string> environment;  // NAME=value
};
struct StarterEvent {
  enum class Kind : std::uint32_t { started = 1, failed = 2, ended = 3 };
  Kind kind = Kind::failed;
  std::int32_t status = 0;  // failed: errno; ended: wait status
  std::uint64_t cookie = 0;
  std::int32_t pid = 0;  // started: in the namespace of the reader
  UniqueFd pidfd;        // started
};

// Kernel side of the starter's channel. Does not wait: timed_out if the starter has fallen behind;
// bad_argument beyond 64 KiB of arguments and environment; host if the starter is gone.
Result<void> request_task(int starter_channel, const TaskStart& start, int working_directory,
                          int standard_input, int standard_output, int standard_error);
// Reads one event; blocks until deadline_ns. Errors: timed_out, host (the starter is gone).
Result<StarterEvent> next_starter_event(int starter_channel, std::uint64_t deadline_ns);

// The pid of a pidfd in the caller's own namespace, or -1 when the process is gone or not visible.
int pid_of_pidfd(int pidfd);
// Whether the process of a pidfd has ended (all its threads; its memory is gone).
bool pidfd_is_dead(int pidfd);

}  // namespace hive::machine
