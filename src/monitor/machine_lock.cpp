#include "monitor/machine_lock.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/file_lock.h"
#include "base/time.h"
#include "proto/runtime_dir.h"

namespace hive::monitor {
namespace {

// Somebody who only looks holds the lock for some microseconds.
constexpr std::uint64_t onlooker_ns = 250 * ns_per_ms;
constexpr std::uint64_t poll_ns = 5 * ns_per_ms;

void sleep_ns(std::uint64_t ns) {
  const timespec time = to_timespec(ns);
  ::nanosleep(&time, nullptr);
}

bool is_at_path(int fd, const std::string& path) {
  struct stat opened {
  }, named{};
  return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

Outcome<void> check_root(const std::string& root) {
  struct stat info {};
  if (::stat(root.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return refuse(exit_failed, fmt::format("{} can not be made: {}", root, std::strerror(errno)));
  }
  if (info.st_uid != ::getuid() || (info.st_mode & 022) != 0) {
    return refuse(exit_failed,
                  fmt::format("{} belongs to another user, or others may write there; point "
                              "HIVE_RUNTIME_DIR at a directory of your own",
                              root));
  }
  return {};
}

Outcome<void> make_runtime_dir(const std::string& dir) {
  const std::filesystem::path root = std::filesystem::path(dir).parent_path();
  std::error_code ignored;
  if (root.has_parent_path()) std::filesystem::create_directories(root.parent_path(), ignored);
  ::mkdir(root.c_str(), 0700);  // check_root() sees what came of it
  if (auto done = check_root(root.string()); !done) return done;
  if (::mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) {
    return refuse(exit_failed, fmt::format("{} can not be made: {}", dir, std::strerror(errno)));
  }
  return {};
}

}  // namespace

LockState lock_state(const std::string& dir) {
  const UniqueFd file(::open(proto::lock_file(dir).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return LockState::absent;
  // Shared, so that those who only look do not disturb each other.
  return ::flock(file.get(), LOCK_SH | LOCK_NB) == 0 ? LockState::free : LockState::held;
}

Outcome<UniqueFd> lock_machine(const std::string& dir, const std::string& machine) {
  const std::string path = proto::lock_file(dir);
  const std::uint64_t patience = now_ns() + onlooker_ns;
  for (;; sleep_ns(poll_ns)) {
    if (auto done = make_runtime_dir(dir); !done) return tl::unexpected(done.error());
    UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    const int error = errno;
    if (file && !proto::is_private_dir(dir)) {
      return refuse(exit_failed,
                    fmt::format("{} is not a directory of yours with mode 0700", dir));
    }
    if (file && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0 && is_at_path(file.get(), path)) {
      return file;
    }
    if (now_ns() < patience) continue;
    if (!file) {
      return refuse(exit_failed,
                    fmt::format("{} can not be made: {}", path, std::strerror(error)));
    }
    return refuse(exit_running_already, fmt::format("machine '{}' is running already", machine));
  }
}

UniqueFd lock_monitor(const std::string& dir) {
  auto lock = try_lock_file(proto::monitor_lock_file(dir));
  return lock ? std::move(*lock) : UniqueFd();
}

bool outlive_other_holders(UniqueFd& lock, const std::string& dir, std::uint64_t deadline_ns) {
  const std::string path = proto::lock_file(dir);
  lock.reset();
  for (;; sleep_ns(poll_ns)) {
    UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!file) return false;
    if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
      if (!is_at_path(file.get(), path)) return false;
      lock = std::move(file);
      return true;
    }
    if (now_ns() >= deadline_ns) return false;
  }
}

bool wait_until_unlocked(const std::string& dir, std::uint64_t deadline_ns) {
  for (;; sleep_ns(poll_ns)) {
    if (lock_state(dir) != LockState::held) return true;
    if (now_ns() >= deadline_ns) return false;
  }
}

void remove_machine_files(const std::string& dir, bool lock_too) {
  if (!proto::is_private_dir(dir)) return;
  const std::filesystem::path lock = proto::lock_file(dir);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    if (entry.path() != lock) std::filesystem::remove_all(entry.path(), error);
  }
  if (!lock_too) return;
  std::filesystem::remove(lock, error);
  std::filesystem::remove(dir, error);  // fails when somebody has begun to boot here: good
}

}  // namespace hive::monitor
