#include "cell/control/requests.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "machine/fault_point.h"
#include "machine/linux/power.h"
#include "proto/control.h"
#include "proto/runtime_dir.h"

namespace hive::cell {
namespace {

using Json = nlohmann::json;

constexpr std::size_t run_descriptors = 4;  // working directory, standard input, output, error

Json refusal(const Error& error) {
  Json json = {{"ok", false}, {"code", code_name(error.code)}, {"error", error.message()}};
  if (error.sys_errno != 0) json["errno"] = error.sys_errno;
  return json;
}
Json refusal(Code code, const char* cause) { return refusal(error(code, cause)); }

Json answer_of(const Result<void>& done) {
  return done ? Json{{"ok", true}} : refusal(done.error());
}

// Sends a signal to the kernel of another cell through the pidfd that came with its welcome.
Result<void> signal_kernel(Peers& peers, CellId cell, int number) {
  Result<void> done = fail(Code::not_found, "there is no such cell", cell);
  peers.with(cell, [&](const Peer& peer) {
    if (::syscall(SYS_pidfd_send_signal, peer.kernel_pidfd.get(), number, nullptr, 0) == 0) {
      done = {};
    } else {
      done = fail(Code::cell_down, "its kernel is dead already", cell, errno);
    }
  });
  return done;
}

// What the next memory test of the node finds, and takes away.
Result<void> plant_bad_frame(const Config& config, CellId cell) {
  const std::string path = proto::bad_frame_file(config.machine_dir, cell);
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!file) return fail(Code::host, "the fault can not be noted", cell, errno);
  return {};
}

}  // namespace

bool Requests::serve(const ConnectionPtr& connection, machine::ChannelMessage message) {
  const Json request = Json::parse(message.text(), nullptr, false);
  if (!request.is_object()) return false;
  try {
    dispatch(connection, request, message.fds);
  } catch (const Json::exception&) {
    connection->send(refusal(Code::bad_argument, "the request lacks a member or has a wrong one"));
  }
  // What follows on the connection is a request of its own, unless `run` has made it a task's.
  if (!connection->on_message) {
    connection->on_message = [this,
                              weak = std::weak_ptr(connection)](machine::ChannelMessage next) {
      const ConnectionPtr again = weak.lock();
      if (again == nullptr) return;
      again->on_message = nullptr;  // the server calls a copy of it
      if (!serve(again, std::move(next))) ::shutdown(again->socket(), SHUT_RDWR);
    };
  }
  return true;
}

void Requests::dispatch(const ConnectionPtr& connection, const Json& request,
                        std::vector<UniqueFd>& descriptors) {
  const std::string op = request.at("op").get<std::string>();
  if (op == "status") return connection->send(context_.survey.status());
  if (op == "ps") return connection->send(context_.survey.tasks());
  if (op == "run") return run(connection, request, descriptors);
  if (op == "kill") return kill(connection, request);
  if (op == "fault") return fault(connection, request);
  if (op == "adopt") return adopt(connection, descriptors);
  if (op == "bench") return measure(connection, request);
  if (op == "frames") return run_errand(connection, [this] { return context_.count_frames(); });
  if (op == "shutdown") {
    connection->send(Json{{"ok", true}});
    return context_.shutdown();
  }
  connection->send(refusal(Code::bad_argument, "no such operation"));
}

void Requests::run(const ConnectionPtr& connection, const Json& request,
                   std::vector<UniqueFd>& descriptors) {
  if (descriptors.size() != run_descriptors) {
    return connection->send(refusal(Code::bad_argument, "a run comes with four descriptors"));
  }
  if (auto takes = context_.takes_tasks(); !takes) return connection->send(refusal(takes.error()));
  TaskRequest task;
  task.start.arguments = request.at("arguments").get<std::vector<std::string>>();
  task.start.environment = request.at("environment").get<std::vector<std::string>>();
  task.span_id = request.value("span_id", "");
  task.span_index = request.value("span_index", 0);
  task.span_count = request.value("span_count", 1);

  auto id = std::make_shared<std::uint64_t>(0);
  auto on_started = [connection, id](Result<TaskInfo> started) {
    if (!started) return connection->send(refusal(started.error()));
    *id = started->id;
    connection->send(Json{{"ok", true}, {"task", started->id}, {"pid", started->pid}});
  };
  auto on_ended = [connection](const TaskEnd& end) {
    connection->on_close = nullptr;
    connection->send(Json{{"event", "ended"}, {"status", end.wait_status}, {"cause", end.cause}});
  };
  connection->on_message = [this, id](machine::ChannelMessage message) {
    const Json json = Json::parse(message.text(), nullptr, false);
    if (!json.is_object() || !json.contains("signal") || !json["signal"].is_number_integer())
      return;
    (void)context_.tasks.signal(*id, json["signal"].get<int>());
  };
  // Like a terminal that hangs up; a program that wants to go on without it ignores SIGHUP.
  connection->on_close = [this, id] { (void)context_.tasks.signal(*id, SIGHUP); };
  context_.tasks.start(std::move(task),
                       {descriptors[0].get(), descriptors[1].get(), descriptors[2].get(),
                        descriptors[3].get()},
                       std::move(on_started), std::move(on_ended));
}

// A new monitor brings its channel, and gets what it needs to switch this node off.
void Requests::adopt(const ConnectionPtr& connection, std::vector<UniqueFd>& descriptors) {
  if (descriptors.size() != 1) {
    return connection->send(refusal(Code::bad_argument, "a monitor comes with its channel"));
  }
  if (auto taken = context_.take_new_monitor(std::move(descriptors[0])); !taken) {
    return connection->send(refusal(taken.error()));
  }
  const std::string answer =
      Json{{"ok", true}, {"pid", ::getpid()}, {"incarnation", context_.config.incarnation}}.dump();
  const int power = machine::kernel_fd_power_pidfd;
  connection->send(machine::bytes_of(std::string_view(answer)), {&power, 1});
}

void Requests::kill(const ConnectionPtr& connection, const Json& request) {
  const auto task = request.at("task").get<std::uint64_t>();
  const int number = request.value("signal", SIGTERM);
  const auto cell = static_cast<CellId>(task / task_ids_per_cell);
  if (cell == context_.config.self) {
    return connection->send(answer_of(context_.tasks.signal(task, number)));
  }
  const bool taken = context_.errands.post([this, connection, cell, task, number] {
    const Result<void> done = context_.kill_remote(cell, task, number);
    context_.loop.post([connection, done] { connection->send(answer_of(done)); });
  });
  if (!taken) connection->send(refusal(Code::busy, "the cell has too many requests waiting"));
}

void Requests::fault(const ConnectionPtr& connection, const Json& request) {
  const std::string kind = request.at("kind").get<std::string>();
  const auto cell = request.at("cell").get<CellId>();
  const std::string how = request.value("how", "stop");
  const bool own = cell == context_.config.self;
  if (cell < 0 || cell >= static_cast<CellId>(context_.config.layout.cells)) {
    return connection->send(refusal(Code::not_found, "there is no such cell"));
  }
  if (kind == "kill-cell" || (kind == "hang-cell" && how == "stop")) {
    const int number = kind == "kill-cell" ? SIGKILL : SIGSTOP;
    if (!own) {
      return connection->send(answer_of(signal_kernel(context_.peers, cell, number)));
    }
    connection->send(Json{{"ok", true}});
    ::kill(::getpid(), number);
    return;
  }
  if (kind == "bad-frame")
    return connection->send(answer_of(plant_bad_frame(context_.config, cell)));
  if (kind == "kill-at") {
    const std::string point = request.at("point").get<std::string>();
    const auto known = machine::find_fault_point(point);
    if (known && known->in_next_life) {
      return connection->send(answer_of(plant_fault_point(
          context_.config, cell, point, request.value("skip", std::uint32_t{0}))));
    }
  }
  if (!own) {
    return connection->send(refusal(Code::refused, "ask this cell itself for such a fault"));
  }
  fault_on_itself(connection, request);
}

void Requests::fault_on_itself(const ConnectionPtr& connection, const Json& request) {
  auto fault = context_.inject(request);
  if (!fault) return connection->send(refusal(fault.error()));
  if (fault->errand) return run_errand(connection, std::move(fault->errand));
  connection->send(fault->answer);
  if (fault->act) fault->act();
}

void Requests::run_errand(const ConnectionPtr& connection,
                          std::function<Result<Json>()> errand) {
  const bool taken = context_.errands.post([this, connection, errand = std::move(errand)] {
    Result<Json> done =
        fail(Code::bad_argument, "the request lacks a member or has a wrong one");
    try {
      done = errand();
    } catch (const Json::exception&) {
    }
    const Json answer = done ? *done : refusal(done.error());
    context_.loop.post([connection, answer] { connection->send(answer); });
  });
  if (!taken) connection->send(refusal(Code::busy, "the cell has too many requests waiting"));
}

void Requests::measure(const ConnectionPtr& connection, const Json& request) {
  run_errand(connection, [this, request] { return context_.measure(request); });
}

}  // namespace hive::cell
