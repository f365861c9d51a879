#include "cli/lock_holders.h"

#include <csignal>
#include <filesystem>

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "monitor/sizes.h"

namespace hive::cli {
namespace {

namespace fs = std::filesystem;

constexpr int pid_highest = 1 << 22;  // Linux's own bound

bool has_open(const fs::path& process, const struct stat& file) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(process / "fd", error)) {
    struct stat opened {};
    if (::stat(entry.path().c_str(), &opened) == 0 && opened.st_dev == file.st_dev &&
        opened.st_ino == file.st_ino) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<int> lock_holders(const std::string& lock_path) {
  std::vector<int> holders;
  struct stat file {};
  if (::stat(lock_path.c_str(), &file) != 0) return holders;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const auto pid = monitor::parse_number(entry.path().filename().string(), 1, pid_highest);
    if (pid && *pid != ::getpid() && has_open(entry.path(), file)) {
      holders.push_back(static_cast<int>(*pid));
    }
  }
  return holders;
}

int kill_lock_holders(const std::string& lock_path) {
  struct stat file {};
  if (::stat(lock_path.c_str(), &file) != 0) return 0;
  int killed = 0;
  for (const int pid : lock_holders(lock_path)) {
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd || !has_open(fs::path("/proc") / std::to_string(pid), file)) continue;
    if (::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0) == 0) ++killed;
  }
  return killed;
}

}  // namespace hive::cli
