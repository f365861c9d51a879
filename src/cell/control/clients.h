// Attached processes as clients of the home and its gate server: the registry behind attaching.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "cell/control/attach_server.h"
#include "cell/files/file_service.h"
#include "cell/gate/gate_server.h"
#include "cell/home/home.h"

namespace hive::cell {

class LateSpace;

class Clients final : public ClientRegistry {
 public:
  Clients(Home& home, GateServer& gates, FileService& files)
      : home_(home), gates_(gates), files_(files) {}

  Result<Gate> prepare(const ClientInfo& info, int pidfd, UniqueFd request_memory) override;
  Result<void> admit(const Gate& gate, std::unique_ptr<machine::FencedSpace> space) override;
  void remove(const Gate& gate, Leave why) override;

  // Kills the tasks of a cell that is off, and waits until they are dead. Those that its starter
  // started are dead already; whoever attached from elsewhere is a child of nobody who knows.
  void end_tasks_of(CellId cell);

  // How many processes other than kernels are attached. Any thread.
  int tasks() const { return tasks_.load(std::memory_order_relaxed); }

  // This node's user memory as the kernel of another cell has it mapped, or null. For
  // measurements.
  std::shared_ptr<ClientSpace> space_of_kernel(CellId cell);

 private:
  struct Entry {
    ClientInfo info;
    int pidfd;  // of the attach server, which keeps it until after remove()
    std::shared_ptr<LateSpace> space;
  };
  Home& home_;
  GateServer& gates_;
  FileService& files_;
  std::mutex mutex_;
  std::map<std::uint64_t, Entry> entries_;  // guarded by mutex_
  std::atomic<int> tasks_{0};               // those of entries_ that are tasks
};

}  // namespace hive::cell
