#include "monitor/directories.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

namespace hive::monitor {
namespace {

std::string home_directory() {
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') return home;
  const passwd* user = ::getpwuid(::getuid());
  return user != nullptr ? user->pw_dir : "/";
}

}  // namespace

std::string state_directory(const std::string& machine) {
  const char* base = std::getenv("XDG_STATE_HOME");
  const std::string root =
      base != nullptr && *base == '/' ? base : home_directory() + "/.local/state";
  return root + "/hive/" + machine;
}

std::string log_file(const std::string& state_dir) { return state_dir + "/hive.log"; }

Outcome<void> make_state_directory(const std::string& state_dir, int nodes) {
  for (int node = 0; node < nodes; ++node) {
    const std::string disk = fmt::format("{}/disk{}", state_dir, node);
    std::error_code error;
    std::filesystem::create_directories(disk, error);
    if (error || ::access(disk.c_str(), W_OK | X_OK) != 0) {
      return refuse(
          exit_failed,
          fmt::format("{} can not be made: {}; point XDG_STATE_HOME at a directory that you "
                      "can write",
                      disk, error ? error.message() : std::strerror(errno)));
    }
  }
  std::error_code error;
  std::filesystem::permissions(state_dir, std::filesystem::perms::owner_all, error);
  return {};
}

Outcome<UniqueFd> open_log(const std::string& state_dir) {
  const std::string path = log_file(state_dir);
  ::rename(path.c_str(), (path + ".1").c_str());  // there may be none yet
  UniqueFd log(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log) {
    return refuse(exit_failed, fmt::format("{} can not be made: {}", path, std::strerror(errno)));
  }
  return log;
}

}  // namespace hive::monitor
