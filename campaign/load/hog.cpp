#include "campaign/load/hog.h"

#include <cstring>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace hive::campaign {
namespace {

constexpr int processes_max = 200;
constexpr int descriptors_max = 1 << 20;  // its own limit comes first
constexpr std::size_t chunk_bytes = std::size_t{8} << 20;
constexpr int chunks_max = 24;

void take_processes() {
  for (int i = 0; i < processes_max; ++i) {
    const pid_t child = ::fork();
    if (child < 0) return;
    if (child == 0) {
      ::sleep(60);
      ::_exit(0);
    }
  }
}

void take_memory(std::vector<std::vector<char>>& chunks) {
  for (int i = 0; i < chunks_max; ++i) chunks.emplace_back(chunk_bytes, 'x');
}

}  // namespace

int run_hog(const std::string& what) {
  std::vector<std::vector<char>> chunks;
  if (what == "descriptors") {
    for (int i = 0; i < descriptors_max && ::open("/dev/null", O_RDONLY) >= 0; ++i) {
    }
  } else if (what == "processes") {
    take_processes();
  } else if (what == "memory") {
    take_memory(chunks);
  } else {
    return 2;
  }
  [[maybe_unused]] const auto n = ::write(STDOUT_FILENO, "full\n", 5);
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 0;
}

}  // namespace hive::campaign
