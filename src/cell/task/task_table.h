// The tasks of this cell: started through the starter, or attached from elsewhere.
//
// Each has a TaskRecord in kernel memory, in a list that other cells walk with care, so that `ps`
// of the whole machine needs no message. Control thread only, but for the records.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <hive/error.h>
#include "base/fd.h"
#include "base/ids.h"
#include "cell/heap/tagged_heap.h"
#include "machine/linux/power.h"

namespace hive::cell {

inline constexpr std::size_t tasks_max = 4096;              // of one cell
inline constexpr std::uint64_t task_ids_per_cell = 1'000'000;

enum class TaskState : std::uint32_t { starting = 1, running = 2, ending = 3 };

// What is known of a task; plain data.
struct TaskInfo {
  std::uint64_t id = 0;
  std::int32_t cell = -1;
  std::int32_t pid = 0;
  TaskState state = TaskState::starting;
  std::uint32_t attached = 0;  // uses libhive
  std::uint64_t started_ns = 0;
  std::array<char, 64> program{};
  std::int32_t span_index = 0;
  std::int32_t span_count = 1;
  std::array<char, 32> span_id{};
};

struct TaskRecord {
  static constexpr std::uint32_t type = type_name("TASK");
  TypeTag tag;
  std::uint64_t next = 0;  // address of the next record, or 0
  TaskInfo info;
};

// The head of the list, part of the cell's published root.
struct TaskList {
  std::atomic<std::uint64_t> first{0};
  std::atomic<std::uint64_t> count{0};
};

struct TaskRequest {
  machine::TaskStart start;
  std::string span_id;
  int span_index = 0;
  int span_count = 1;
};

struct TaskEnd {
  std::uint64_t id = 0;
  int wait_status = 0;
  std::string cause;  // words, when it did not simply exit
};

class TaskTable {
 public:
  using OnStarted = std::function<void(Result<TaskInfo>)>;
  using OnEnded = std::function<void(const TaskEnd&)>;

  // `environment`: NAME=value, what every task gets besides its own; see control.h.
  TaskTable(CellId self, TaggedHeap& heap, TaskList& published, int starter_channel,
            std::vector<std::string> environment);

  // Asks the starter for a process. `started` is called once; `ended` once if it was started.
  // Descriptors: working directory, standard input, output, error; only borrowed.
  void start(TaskRequest request, const std::array<int, 4>& descriptors, OnStarted started,
             OnEnded ended);
  // One event of the starter has come.
  void on_starter_event(machine::StarterEvent event);

  // A process attaches to this cell: one that was started with this cookie, or a stranger (0),
  // whose pidfd is duplicated. Returns what is known of it. Errors: exhausted, not_found (no such
  // cookie).
  Result<TaskInfo> attach(std::uint64_t cookie, int pidfd, const std::string& program);
  // A stranger has ended or detached.
  void detached(std::uint64_t id);

  // Errors: not_found, host.
  Result<void> signal(std::uint64_t id, int signal);
  void signal_all(int signal);
  // The cell ends, and they with it: nobody is told of one that ends from now on, as it did not do
  // so by itself. Who waits for it sees the cell end.
  void kill_all();
  bool has(std::uint64_t id) const { return tasks_.contains(id); }
  std::size_t size() const { return tasks_.size(); }

 private:
  struct Task {
    TaskRecord* record = nullptr;
    UniqueFd pidfd;
    std::uint64_t cookie = 0;  // 0: attached from elsewhere
    std::string killed_by;
    OnStarted started;
    OnEnded ended;
  };
  Result<Task*> add(const std::string& program);
  void remove(std::uint64_t id);
  Task* with_cookie(std::uint64_t cookie);

  const CellId self_;
  TaggedHeap& heap_;
  TaskList& published_;
  const int starter_channel_;
  const std::vector<std::string> environment_;
  std::uint64_t next_number_ = 1;
  std::map<std::uint64_t, Task> tasks_;  // by id
};

}  // namespace hive::cell
