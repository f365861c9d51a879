#include "machine/linux/memory_limits.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include <fcntl.h>

namespace hive::machine {
namespace {

constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t mib = std::uint64_t{1} << 20;
constexpr std::uint64_t step_bytes = 64 * mib;
// What stays free for everybody else: the last pages of a host are not ours to take.
constexpr std::uint64_t margin_bytes = 32 * mib;
constexpr int group_depth_max = 64;

// The number in a file, or `otherwise` ("max" of cgroup v2 is none).
std::uint64_t number_in(const std::string& path, std::uint64_t otherwise) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? value : otherwise;
}

// The number after a key at the beginning of a line: "key value" or "key: value".
std::uint64_t number_after(const std::string& path, const std::string& key,
                           std::uint64_t otherwise) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with(key) || line.size() == key.size()) continue;
    if (line[key.size()] != ' ' && line[key.size()] != ':') continue;
    std::istringstream rest(line.substr(key.size() + 1));
    std::uint64_t value = 0;
    return rest >> value ? value : otherwise;
  }
  return otherwise;
}

struct GroupFiles {
  const char* root;
  const char* limit;
  const char* used;
  const char* reclaimable;  // key in memory.stat
};
constexpr GroupFiles unified = {"/sys/fs/cgroup", "/memory.max", "/memory.current",
                                "inactive_file"};
constexpr GroupFiles legacy = {"/sys/fs/cgroup/memory", "/memory.limit_in_bytes",
                               "/memory.usage_in_bytes", "total_inactive_file"};

// The least that is left in a control group and in those around it. `group`: "/a/b" or "/".
std::uint64_t left_in_groups(const GroupFiles& files, std::string group) {
  std::uint64_t left = unlimited;
  for (int depth = 0; depth < group_depth_max; ++depth) {
    std::string folder = files.root;
    folder += group;
    const std::uint64_t limit = number_in(folder + files.limit, unlimited);
    if (limit != unlimited) {
      const std::uint64_t used = number_in(folder + files.used, 0);
      const std::uint64_t cache = number_after(folder + "/memory.stat", files.reclaimable, 0);
      const std::uint64_t held = used - std::min(used, cache);
      left = std::min(left, limit - std::min(limit, held));
    }
    const auto slash = group.rfind('/');
    if (slash == std::string::npos) break;
    group.resize(slash);
  }
  return left;
}

std::uint64_t left_in_control_groups() {
  std::ifstream file("/proc/self/cgroup");
  std::uint64_t left = unlimited;
  std::string number;
  std::string controllers;
  std::string group;
  // Lines "number:controller,controller:group"; the unified hierarchy names no controllers.
  while (std::getline(file, number, ':') && std::getline(file, controllers, ':') &&
         std::getline(file, group)) {
    std::istringstream names(controllers);
    bool memory = false;
    for (std::string name; std::getline(names, name, ',');) memory = memory || name == "memory";
    if (memory) left = std::min(left, left_in_groups(legacy, group));
    if (controllers.empty()) left = std::min(left, left_in_groups(unified, group));
  }
  return left;
}

}  // namespace

std::uint64_t memory_available() {
  const std::uint64_t kib = number_after("/proc/meminfo", "MemAvailable", unlimited / 1024);
  return std::min(kib * 1024, left_in_control_groups());
}

Result<void> populate_memory(int memfd, std::uint64_t offset, std::uint64_t bytes) {
  // All of it first, so that a hopeless wish takes nothing from anybody; then again for each step,
  // since others may be taking memory at the same time.
  std::uint64_t wanted = bytes;
  while (bytes > 0) {
    if (memory_available() < wanted + margin_bytes) {
      return fail(Code::exhausted, "the host has not enough free memory", -1, ENOMEM);
    }
    const std::uint64_t step = std::min(bytes, step_bytes);
    while (::fallocate(memfd, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                       static_cast<off_t>(step)) != 0) {
      if (errno == EINTR) continue;
      return fail(Code::exhausted, "the host has no memory for the node", -1, errno);
    }
    offset += step;
    bytes -= step;
    wanted = bytes;
  }
  return {};
}

}  // namespace hive::machine
