// Where the files of a running machine lie, for everybody who has to find one.
//
//   ROOT/NAME/        mode 0700, owned by the user whose machine it is; gone when the machine is
//     lock            flock'ed for as long as any process of the machine lives
//     machine.json    the boot record
//     up              there once all cells are up: until then a kernel whose channel to the
//     monitor
//                     closes ends itself, so that a boot that is cut off leaves nothing
//     monitor.sock    control requests to the monitor
//     monitor.lock    flock'ed by the one process that is the monitor
//     node<N>.json    what became of a node after the boot: {incarnation, state, reason};
//                     rebooting, up, draining, down or out. Written by the monitor, before an
//                     incarnation starts, so that no number is ever used twice
//     cell<N>.sock    attaching processes and control requests to a cell
//     cell<N>.lock    flock'ed by the kernel that may make the socket above
//     panic.<N>       the last words of the cell's kernel
//     bad-frame.<N>   the next memory test of the node fails (fault injection)
//
// ROOT is $HIVE_RUNTIME_DIR, else $XDG_RUNTIME_DIR/hive, else /tmp/hive-<uid>.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

#include "proto/control.h"

namespace hive::proto {

inline constexpr const char* default_machine = "hive";
inline constexpr std::size_t machine_name_max = 32;

// 1 to 32 of a-z 0-9 _ -
inline bool is_machine_name(std::string_view name) {
  if (name.empty() || name.size() > machine_name_max) return false;
  for (const char c : name) {
    if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-') return false;
  }
  return true;
}

inline std::string runtime_root() {
  if (const char* dir = std::getenv(env_runtime_dir); dir != nullptr && *dir != 0) return dir;
  if (const char* dir = std::getenv("XDG_RUNTIME_DIR"); dir != nullptr && *dir != 0) {
    return std::string(dir) + "/hive";
  }
  return "/tmp/hive-" + std::to_string(::getuid());
}

// `machine` has been checked with is_machine_name().
inline std::string machine_dir(std::string_view machine) {
  return runtime_root() + "/" + std::string(machine);
}
inline std::string lock_file(const std::string& dir) { return dir + "/lock"; }
inline std::string boot_record_file(const std::string& dir) { return dir + "/machine.json"; }
inline std::string up_file(const std::string& dir) { return dir + "/up"; }
inline std::string monitor_socket(const std::string& dir) { return dir + "/monitor.sock"; }
inline std::string monitor_lock_file(const std::string& dir) { return dir + "/monitor.lock"; }
inline std::string node_record_file(const std::string& dir, int node) {
  return dir + "/node" + std::to_string(node) + ".json";
}
inline std::string cell_lock_file(const std::string& dir, int cell) {
  return dir + "/cell" + std::to_string(cell) + ".lock";
}
inline std::string fence_lock_file(const std::string& dir) { return dir + "/fence.lock"; }
inline std::string bad_frame_file(const std::string& dir, int node) {
  return dir + "/bad-frame." + std::to_string(node);
}
inline std::string fault_point_file(const std::string& dir, int node) {
  return dir + "/fault-point." + std::to_string(node);
}
inline std::string cell_socket(const std::string& dir, int cell) {
  return dir + "/cell" + std::to_string(cell) + ".sock";
}

// Whether it is a directory (no symbolic link) of this user that nobody else may enter: in /tmp
// anybody could have made one of our name before us.
inline bool is_private_dir(const std::string& dir) {
  struct stat info {};
  return ::lstat(dir.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == ::getuid() &&
         (info.st_mode & 077) == 0;
}

}  // namespace hive::proto
