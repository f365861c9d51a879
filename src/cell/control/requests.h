// Requests of the command (proto/control.h), served on the control thread.
#pragma once

#include <functional>
#include <string>

#include <nlohmann/json.hpp>

#include "base/work_pool.h"
#include "cell/boot/config.h"
#include "cell/control/control_server.h"
#include "cell/control/event_loop.h"
#include "cell/control/peers.h"
#include "cell/control/survey.h"
#include "cell/diagnostics/injection.h"
#include "cell/task/task_table.h"

namespace hive::cell {

// What requests need of the kernel. The functions are called on the control thread, but for
// kill_remote, which runs as an errand and may block.
struct RequestContext {
  const Config& config;
  EventLoop& loop;
  WorkPool& errands;
  Survey& survey;
  TaskTable& tasks;
  Peers& peers;
  std::function<Result<void>(CellId cell, std::uint64_t task, int signal)> kill_remote;
  std::function<Result<Injection::Fault>(const nlohmann::json& request)> inject;  // on itself
  std::function<Result<void>()> takes_tasks;  // errors: refused
  std::function<void()> shutdown;
  std::function<Result<void>(UniqueFd channel)> take_new_monitor;
  std::function<Result<nlohmann::json>(const nlohmann::json& request)> measure;  // as an errand
  std::function<nlohmann::json()> count_frames;                                  // as an errand
};

class Requests {
 public:
  explicit Requests(RequestContext context) : context_(std::move(context)) {}

  // The first message of a connection that is no attaching process. False: it is garbage.
  bool serve(const ConnectionPtr& connection, machine::ChannelMessage message);

 private:
  using Json = nlohmann::json;
  void dispatch(const ConnectionPtr& connection, const Json& request,
                std::vector<UniqueFd>& descriptors);
  void run(const ConnectionPtr& connection, const Json& request,
           std::vector<UniqueFd>& descriptors);
  void kill(const ConnectionPtr& connection, const Json& request);
  void fault(const ConnectionPtr& connection, const Json& request);
  void adopt(const ConnectionPtr& connection, std::vector<UniqueFd>& descriptors);
  void fault_on_itself(const ConnectionPtr& connection, const Json& request);
  void run_errand(const ConnectionPtr& connection, std::function<Result<Json>()> errand);
  void measure(const ConnectionPtr& connection, const Json& request);

  RequestContext context_;
};

}  // namespace hive::cell
