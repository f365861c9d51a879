// Limits that a machine of default size must fit into, tried out at that size.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/check.h"
#include "machine/layout.h"
#include "monitor/host.h"
#include "monitor/plan.h"
#include "monitor/sizes.h"

namespace hive::cli {
namespace {

// What a kernel of a small machine holds open with some hundred tasks attached to it.
constexpr int descriptors_needed = 4096;
// Threads of a machine of default size, and of some tasks on it.
constexpr int threads_needed = 256;
constexpr int mappings_needed = 8192;

machine::Layout default_layout() {
  return machine::make_layout(monitor::default_cells, monitor::default_memory_bytes);
}

int try_memory() {
  const machine::Layout layout = default_layout();
  const auto bytes = static_cast<off_t>((layout.kernel_bytes + layout.user_bytes) * layout.cells);
  const int memory = ::memfd_create("hive-check", MFD_CLOEXEC);
  if (memory < 0) return errno;
  return ::fallocate(memory, 0, 0, bytes) == 0 ? 0 : errno;
}

Finding check_memory() {
  const machine::Layout layout = default_layout();
  const std::uint64_t need = (layout.kernel_bytes + layout.user_bytes) * layout.cells;
  const monitor::HostMemory host = monitor::host_memory();
  Finding finding;
  finding.name = "memory";
  // Not tried when the figures say no: the host might kill somebody else over it.
  finding.ok = need <= host.available && in_child(&try_memory) == 0;
  finding.detail = fmt::format(
      "{} of {} available{}; a machine of default size takes {}",
      monitor::format_size(host.available), monitor::format_size(host.total),
      host.limited_by.empty() ? "" : " in group " + host.limited_by, monitor::format_size(need));
  const std::uint64_t each =
      std::max(host.available / monitor::default_cells / 2 >> 20, std::uint64_t{1});
  finding.cure = fmt::format("hive boot --cells {} --memory {}M", monitor::default_cells, each);
  return finding;
}

int try_addresses() { return machine::reserve_machine_range(default_layout()) ? 0 : 1; }

Finding check_addresses() {
  Finding finding;
  finding.name = "addresses";
  finding.ok = in_child(&try_addresses) == 0;
  finding.detail = fmt::format("from {:#x} on", machine::machine_base);
  if (!finding.ok) finding.detail += " can not be reserved";
  finding.cure = "ulimit -v unlimited";
  return finding;
}

int try_descriptors() {
  monitor::raise_descriptor_limit();
  for (int i = 0; i < descriptors_needed; ++i) {
    if (::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) < 0) return errno;
  }
  return 0;
}

Finding check_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  Finding finding;
  finding.name = "descriptors";
  finding.ok = in_child(&try_descriptors) == 0;
  finding.detail = fmt::format("at most {} (hard limit); {} are enough for some hundred tasks",
                               limit.rlim_max, descriptors_needed);
  finding.cure = "sudo prlimit --pid $$ --nofile=65536:65536";
  return finding;
}

void* wait_for_end(void*) {
  for (;;) ::pause();
}

int try_threads() {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, 128 * 1024);
  for (int i = 0; i < threads_needed; ++i) {
    pthread_t thread;
    if (const int error = ::pthread_create(&thread, &attributes, &wait_for_end, nullptr))
      return error;
  }
  return 0;
}

std::string limit_text(rlim_t limit) {
  return limit == RLIM_INFINITY ? "no limit" : std::to_string(limit);
}

Finding check_threads() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NPROC, &limit);
  Finding finding;
  finding.name = "processes";
  finding.ok = in_child(&try_threads) == 0;
  finding.detail = fmt::format("{} threads can be started (user limit: {})", threads_needed,
                               limit_text(limit.rlim_cur));
  if (!finding.ok) {
    finding.detail = fmt::format("{} threads can not be started (user limit: {})", threads_needed,
                                 limit_text(limit.rlim_cur));
  }
  finding.cure = limit.rlim_cur != RLIM_INFINITY
                     ? "sudo prlimit --pid $$ --nproc=unlimited:unlimited"
                     : "sudo systemctl set-property user-$(id -u).slice TasksMax=infinity";
  return finding;
}

int try_mappings() {
  constexpr std::size_t page = machine::page_bytes;
  void* range =
      ::mmap(nullptr, 2 * mappings_needed * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (range == MAP_FAILED) return errno;
  for (std::size_t i = 0; i < mappings_needed;
       ++i) {  // every other page becomes a mapping of its own
    if (::mprotect(static_cast<char*>(range) + 2 * i * page, page, PROT_READ) != 0) return errno;
  }
  return 0;
}

Finding check_mappings() {
  Finding finding;
  finding.name = "mappings";
  finding.ok = in_child(&try_mappings) == 0;
  finding.detail = fmt::format("vm.max_map_count is {}", first_line("/proc/sys/vm/max_map_count"));
  finding.cure = "sudo sysctl -w vm.max_map_count=65530";
  return finding;
}

}  // namespace

std::vector<Finding> check_limits() {
  return {check_memory(), check_addresses(), check_descriptors(), check_threads(),
          check_mappings()};
}

}  // namespace hive::cli
