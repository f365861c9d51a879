// What start_node() and hive-node agree upon: the descriptors that the power process finds open,
// and how it reports that something could not be started.
//
//   hive-node NODE namespaces|processes|untied KERNEL [ARGUMENT...]
//
// namespaces: tasks in a PID namespace where the host allows it; processes: each tied to its
// parent; untied: to nobody, for a test.
#pragma once

#include <cstdint>

namespace hive::machine {

// Beside kernel_fd_monitor and kernel_fd_lock, which have the numbers that the kernel sees.
inline constexpr int power_fd_report = 9;

enum class StartStage : std::uint32_t { running = 0, power = 1, starter = 2, kernel = 3 };

// Written whole and once: what could not be started and why, or that everything runs.
struct StartReport {
  StartStage stage;
  std::int32_t sys_errno;
};
static_assert(sizeof(StartReport) == 8);

}  // namespace hive::machine
