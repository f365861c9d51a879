// What Linux itself offers for starting a program and for naming memory.
#include <cstdio>
#include <string>

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "baselines.h"
#include "timing.h"

extern char** environ;

namespace baseline {
namespace {

constexpr std::size_t page_bytes = 4096;

bool run_true() {
  char program[] = "/bin/true";
  char* words[] = {program, nullptr};
  pid_t child = -1;
  int status = 0;
  return ::posix_spawn(&child, program, nullptr, nullptr, words, environ) == 0 &&
         ::waitpid(child, &status, 0) == child && status == 0;
}

bool open_and_close(const char* name) {
  const int fd = ::shm_open(name, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return false;
  void* memory = ::mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const bool mapped = memory != MAP_FAILED && ::munmap(memory, page_bytes) == 0;
  ::close(fd);
  return mapped;
}

}  // namespace

double start_program(const Arguments& arguments) {
  bool sound = true;
  const double ns = median_batch_ns(arguments.count, [&] { sound = sound && run_true(); });
  return sound ? ns : -1;
}

double open_memory(const Arguments& arguments) {
  run_on(arguments.own_processor);
  const std::string name = "/hive-baseline-" + std::to_string(::getpid());
  const int fd = ::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  bool sound = ::ftruncate(fd, page_bytes) == 0;
  const double ns =
      median_batch_ns(arguments.count, [&] { sound = sound && open_and_close(name.c_str()); });
  ::close(fd);
  ::shm_unlink(name.c_str());
  return sound ? ns : -1;
}

}  // namespace baseline
