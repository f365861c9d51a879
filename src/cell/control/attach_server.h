// The cell's side of attaching (proto/attach.h): tasks of this cell, tasks of other cells that
// open a segment here, and the kernels of other cells. Control thread only.
//
// A process is admitted in two steps, so that at no moment it has this node's memory mapped
// without its fence being in the home's hands: the descriptors it gets can only be mapped; it may
// store nowhere, and this cell gives it nothing, before its userfaultfd has arrived.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "cell/boot/config.h"
#include "cell/control/control_server.h"
#include "cell/home/types.h"
#include "cell/task/task_table.h"
#include "machine/linux/firewall.h"
#include "proto/attach.h"
#include "proto/news.h"

namespace hive::cell {

// Where admitted processes become clients: the home and its gate server.
class ClientRegistry {
 public:
  virtual ~ClientRegistry() = default;
  struct Gate {
    std::uint64_t number = 0;   // chosen by the registry
    std::uint64_t replies = 0;  // address for the welcome; 0 for a kernel
  };
  // `pidfd` of the process stays the caller's, who keeps it until after remove().
  // `request_memory`: the task's memfd, not yet checked; invalid for a kernel.
  // Errors: bad_argument, exhausted.
  virtual Result<Gate> prepare(const ClientInfo& info, int pidfd, UniqueFd request_memory) = 0;
  // Errors: exhausted.
  virtual Result<void> admit(const Gate& gate, std::unique_ptr<machine::FencedSpace> space) = 0;
  // The process has gone, or never completed its attach.
  virtual void remove(const Gate& gate, Leave why) = 0;
};

// What a welcome to a kernel carries besides; descriptors stay the owner's.
struct OwnDescriptors {
  int gate_doorbell = -1;
  int receive_doorbell = -1;
  int power_pidfd = -1;
  int starter_pidfd = -1;
  int kernel_pidfd = -1;
};

// What the attaching of other kernels means for this one. Called on the control thread.
struct KernelAttachments {
  // Whether this incarnation of the cell may attach now. Errors: busy (try again), refused.
  std::function<Result<void>(CellId cell, std::uint64_t incarnation)> may_attach;
  std::function<void(CellId cell, std::uint64_t incarnation)> attached;
  std::function<void(CellId cell, std::uint64_t incarnation)> gone;
  // Whether processes may become tasks of this cell. Errors: refused.
  std::function<Result<void>()> takes_tasks;
};

class AttachServer {
 public:
  AttachServer(const Config& config, EventLoop& loop, machine::NodeMemory& memory,
               TaskTable& tasks, ClientRegistry& clients, OwnDescriptors own,
               proto::PageRoots pages, KernelAttachments kernels);
  ~AttachServer();

  // The first message of a connection. False: it is no hello.
  bool serve(const ConnectionPtr& connection, machine::ChannelMessage message);

  // Tells a task; one that has gone, or does not read, is passed over.
  void tell(std::uint64_t gate, proto::NewsMessage news);
  // Tells all tasks of this cell.
  void tell_own_tasks(const proto::NewsMessage& news);

  std::size_t attached() const { return sessions_.size(); }

 private:
  struct Session;
  using SessionPtr = std::shared_ptr<Session>;

  Result<void> begin(Session& session, const proto::AttachHello& hello,
                     machine::ChannelMessage& message);
  Result<void> welcome(Session& session);
  void finish(const SessionPtr& session, machine::ChannelMessage message);
  void end(const SessionPtr& session);
  static void send_news(Session& session, proto::NewsMessage news);
  void refuse(const ConnectionPtr& connection, const Error& error);

  const Config& config_;
  EventLoop& loop_;
  machine::NodeMemory& memory_;
  TaskTable& tasks_;
  ClientRegistry& clients_;
  const OwnDescriptors own_;
  const proto::PageRoots pages_;
  const KernelAttachments kernels_;
  std::map<Session*, SessionPtr> sessions_;
};

}  // namespace hive::cell
