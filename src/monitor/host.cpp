#include "monitor/host.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>

#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace hive::monitor {
namespace {

constexpr int cgroup_depth_max = 32;
constexpr int cpu_set_cpus = 8192;

// A file with one number, as the control groups have them; "max" is no limit.
std::optional<std::uint64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (!(file >> value)) return {};
  return value;
}

// The path of this process's group in the unified hierarchy, or nothing.
std::optional<std::string> own_cgroup() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("0::", 0) == 0) return line.substr(3);
  }
  return {};
}

// The lowest limit of this process's group and those above it, up to what this namespace shows.
void apply_cgroup_limits(HostMemory& memory) {
  const auto own = own_cgroup();
  if (!own) return;
  std::filesystem::path group = *own;
  for (int depth = 0; depth < cgroup_depth_max; ++depth) {
    const std::string dir = "/sys/fs/cgroup" + group.string();
    const auto limit = read_number(dir + "/memory.max");
    const auto used = read_number(dir + "/memory.current");
    if (limit && used) {
      const std::uint64_t left = *limit > *used ? *limit - *used : 0;
      if (left < memory.available) {
        memory.available = left;
        memory.limited_by = group.string();
      }
    }
    if (!group.has_relative_path()) return;
    group = group.parent_path();
  }
}

}  // namespace

HostMemory host_memory() {
  HostMemory memory;
  std::ifstream file("/proc/meminfo");
  std::string name;
  for (std::uint64_t kib = 0; file >> name >> kib;) {
    if (name == "MemTotal:") memory.total = kib * 1024;
    if (name == "MemAvailable:") memory.available = kib * 1024;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  apply_cgroup_limits(memory);
  return memory;
}

std::vector<int> allowed_processors() {
  std::vector<int> processors;
  cpu_set_t* set = CPU_ALLOC(cpu_set_cpus);
  const std::size_t bytes = CPU_ALLOC_SIZE(cpu_set_cpus);
  CPU_ZERO_S(bytes, set);
  if (::sched_getaffinity(0, bytes, set) == 0) {
    for (int cpu = 0; cpu < cpu_set_cpus; ++cpu) {
      if (CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes, set)) processors.push_back(cpu);
    }
  }
  CPU_FREE(set);
  if (processors.empty()) processors.push_back(0);
  return processors;
}

std::vector<std::vector<int>> share_processors(const std::vector<int>& allowed, int cells) {
  const auto count = static_cast<std::size_t>(cells);
  if (allowed.size() < count) return std::vector(count, allowed);
  std::vector<std::vector<int>> sets(count);
  // Neighbours stay together: they share caches.
  for (std::size_t i = 0; i < allowed.size(); ++i)
    sets[i * count / allowed.size()].push_back(allowed[i]);
  return sets;
}

bool host_allows_namespaces() {
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    bool made = ::unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0;
    if (!made && ::geteuid() == 0) made = ::unshare(CLONE_NEWPID) == 0;
    if (!made) ::_exit(1);
    const pid_t first = ::fork();  // some hosts allow the namespace but no process in it
    if (first == 0) ::_exit(0);
    int status = 0;
    ::_exit(first > 0 && ::waitpid(first, &status, 0) == first && status == 0 ? 0 : 1);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return false;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void raise_descriptor_limit() {
  constexpr rlim_t enough = 65536;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::min(limit.rlim_max, enough);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::string helper_program(const std::string& name) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return name;
  const auto beside_us = self.parent_path() / name;
  if (::access(beside_us.c_str(), X_OK) == 0) return beside_us;
  const auto installed = (self.parent_path() / HIVE_HELPERS / name).lexically_normal();
  // When it is in neither place, the complaint names the one that people know.
  return ::access(installed.c_str(), X_OK) == 0 ? installed : beside_us;
}

}  // namespace hive::monitor
