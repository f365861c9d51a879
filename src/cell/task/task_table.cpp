#include "cell/task/task_table.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/time.h"
#include "machine/fault_point.h"
#include "proto/control.h"

namespace hive::cell {
namespace {

template <std::size_t N>
void copy_name(std::array<char, N>& to, const std::string& from) {
  to.fill(0);
  std::memcpy(to.data(), from.data(), std::min(from.size(), N - 1));
}

// Sets NAME=value in place of what the environment has under that name.
void set_variable(std::vector<std::string>& environment, const std::string& variable) {
  const std::string_view name(variable.data(), variable.find('=') + 1);
  std::erase_if(environment, [name](const std::string& old) { return old.starts_with(name); });
  environment.push_back(variable);
}

// Signals of a terminal go to all of the task's process group, as the terminal would send them;
// where Linux (before 6.9) can not do that through a pidfd, to the task alone. A process that
// attached from elsewhere shares its group with others, and is signalled alone too.
bool send_signal(int pidfd, int signal, bool own_group) {
  constexpr unsigned to_process_group = 4;  // PIDFD_SIGNAL_PROCESS_GROUP
  constexpr std::array of_terminals = {SIGINT, SIGQUIT, SIGHUP, SIGTSTP, SIGCONT, SIGWINCH};
  const bool group = std::ranges::find(of_terminals, signal) != of_terminals.end();
  if (own_group && group &&
      ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, to_process_group) == 0) {
    return true;
  }
  return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0;
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

TaskTable::TaskTable(CellId self, TaggedHeap& heap, TaskList& published, int starter_channel,
                     std::vector<std::string> environment)
    : self_(self),
      heap_(heap),
      published_(published),
      starter_channel_(starter_channel),
      environment_(std::move(environment)) {}

Result<TaskTable::Task*> TaskTable::add(const std::string& program) {
  if (tasks_.size() >= tasks_max || next_number_ >= task_ids_per_cell) {
    return fail(Code::exhausted, "the cell has reached its limit of tasks", self_);
  }
  TaskRecord* record = heap_.create<TaskRecord>();
  if (record == nullptr) return fail(Code::exhausted, "the cell's kernel heap is full", self_);
  record->info.id = static_cast<std::uint64_t>(self_) * task_ids_per_cell + next_number_++;
  record->info.cell = self_;
  record->info.started_ns = now_ns();
  copy_name(record->info.program, base_name(program));
  // Readers on other cells walk the list at any time: a record is linked in when it is complete.
  record->next = published_.first.load(std::memory_order_relaxed);
  published_.first.store(reinterpret_cast<std::uint64_t>(record), std::memory_order_release);
  published_.count.fetch_add(1, std::memory_order_relaxed);
  Task& task = tasks_[record->info.id];
  task.record = record;
  return &task;
}

void TaskTable::remove(std::uint64_t id) {
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) return;
  TaskRecord* const record = found->second.record;
  const auto address = reinterpret_cast<std::uint64_t>(record);
  if (published_.first.load() == address) {
    published_.first.store(record->next, std::memory_order_release);
  } else {
    for (auto& [other_id, other] : tasks_) {
      if (other.record->next == address) other.record->next = record->next;
    }
  }
  published_.count.fetch_sub(1, std::memory_order_relaxed);
  heap_.destroy(record);
  tasks_.erase(found);
}

TaskTable::Task* TaskTable::with_cookie(std::uint64_t cookie) {
  for (auto& [id, task] : tasks_) {
    if (task.cookie == cookie && cookie != 0) return &task;
  }
  return nullptr;
}

void TaskTable::start(TaskRequest request, const std::array<int, 4>& descriptors,
                      OnStarted started, OnEnded ended) {
  const std::string program =
      request.start.arguments.empty() ? "" : request.start.arguments.front();
  auto task = add(program);
  if (!task) return started(fail(task.error()));
  TaskInfo& record = (*task)->record->info;
  record.span_index = request.span_index;
  record.span_count = request.span_count;
  copy_name(record.span_id, request.span_id);
  request.start.cookie = (*task)->cookie = record.id;
  for (const std::string& variable : environment_) {
    set_variable(request.start.environment, variable);
  }
  set_variable(request.start.environment,
               fmt::format("{}={}", proto::env_cookie, record.id));
  auto asked = machine::request_task(starter_channel_, request.start, descriptors[0],
                                     descriptors[1], descriptors[2], descriptors[3]);
  if (!asked) {
    remove(record.id);
    return started(fail(asked.error()));
  }
  machine::fault_point(machine::FaultPoint::task_start);
  (*task)->started = std::move(started);
  (*task)->ended = std::move(ended);
}

void TaskTable::on_starter_event(machine::StarterEvent event) {
  Task* task = with_cookie(event.cookie);
  if (task == nullptr) return;
  const std::uint64_t id = task->record->info.id;
  switch (event.kind) {
    case machine::StarterEvent::Kind::started:
      task->pidfd = std::move(event.pidfd);
      task->record->info.pid = event.pid;
      task->record->info.state = TaskState::running;
      if (auto call = std::exchange(task->started, nullptr)) call(task->record->info);
      break;
    case machine::StarterEvent::Kind::failed: {
      auto call = std::exchange(task->started, nullptr);
      const int number = event.status;
      remove(id);
      if (call) call(fail(Code::host, "the program can not be run", self_, number));
      break;
    }
    case machine::StarterEvent::Kind::ended: {
      auto call = std::exchange(task->ended, nullptr);
      const TaskEnd end{id, event.status, task->killed_by};
      remove(id);
      if (call) call(end);
      break;
    }
  }
}

Result<TaskInfo> TaskTable::attach(std::uint64_t cookie, int pidfd, const std::string& program) {
  Task* task = with_cookie(cookie);
  // What a task starts inherits its cookie. The first to attach with it takes the task's place, so
  // that `hive run -- sh -c program` works; who comes later is a stranger.
  if (task == nullptr || task->record->info.attached != 0) {
    auto added = add(program);
    if (!added) return fail(added.error());
    task = *added;
    task->pidfd.reset(::fcntl(pidfd, F_DUPFD_CLOEXEC, 3));
    if (!task->pidfd) {
      remove(task->record->info.id);
      return fail(Code::exhausted, "the cell has no descriptor left for the task", self_, errno);
    }
    task->record->info.pid = machine::pid_of_pidfd(pidfd);
    task->record->info.state = TaskState::running;
  }
  task->record->info.attached = 1;
  return task->record->info;
}

void TaskTable::detached(std::uint64_t id) {
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) return;
  if (found->second.cookie == 0) {
    remove(id);
  } else {
    found->second.record->info.attached = 0;
  }
}

Result<void> TaskTable::signal(std::uint64_t id, int signal) {
  const auto found = tasks_.find(id);
  if (found == tasks_.end() || !found->second.pidfd) {
    return fail(Code::not_found, "there is no such task", self_);
  }
  if (!send_signal(found->second.pidfd.get(), signal, found->second.cookie != 0)) {
    return fail(Code::host, "the task can not be signalled", self_, errno);
  }
  return {};
}

void TaskTable::signal_all(int signal) {
  for (auto& [id, task] : tasks_) {
    if (task.pidfd) send_signal(task.pidfd.get(), signal, task.cookie != 0);
  }
}

void TaskTable::kill_all() {
  for (auto& [id, task] : tasks_) task.ended = nullptr;
  signal_all(SIGKILL);
}

}  // namespace hive::cell
