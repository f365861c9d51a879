#include "campaign/driver/starve.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace hive::campaign {

namespace {

constexpr int nice_last = 19;

// Where Linux groups processes by session, and a node is a session, threads only compete within it
// and groups among each other. The file is there on every kernel that does so.
void set_group_nice(int pid, int nice) {
  std::ofstream("/proc/" + std::to_string(pid) + "/autogroup") << nice;
}

}  // namespace

Starve::Starve(int pid) : pid_(pid) {
  set_group_nice(pid_, nice_last);
  std::error_code error;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const auto& entry : std::filesystem::directory_iterator(tasks, error)) {
    const int thread = std::atoi(entry.path().filename().c_str());
    Attributes attr;
    if (::syscall(SYS_sched_getattr, thread, &attr, sizeof attr, 0) != 0) continue;
    before_[thread] = attr;
    Attributes idle;
    idle.policy = SCHED_IDLE;
    ::syscall(SYS_sched_setattr, thread, &idle, 0);
  }
  const unsigned processors = std::thread::hardware_concurrency();
  for (unsigned i = 0; i < processors; ++i) {
    busy_.emplace_back([this] {
      while (!stop_.load(std::memory_order_relaxed)) {
      }
    });
  }
}

Starve::~Starve() {
  for (auto& [thread, attr] : before_) ::syscall(SYS_sched_setattr, thread, &attr, 0);
  set_group_nice(pid_, 0);
  stop_.store(true);
}

}  // namespace hive::campaign
