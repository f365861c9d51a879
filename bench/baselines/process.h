// The other process of a baseline: a fork that shares what was mapped shared, and ends with its
// maker.
#pragma once

#include <csignal>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "timing.h"

namespace baseline {

template <class T>
T* shared_memory() {
  void* memory =
      ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : new (memory) T();
}

class OtherProcess {
 public:
  template <class Body>
  OtherProcess(int processor, Body body) {
    const pid_t parent = ::getpid();
    child_ = ::fork();
    if (child_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(0);
    run_on(processor);
    body();
    ::_exit(0);
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;
  ~OtherProcess() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  bool started() const { return child_ > 0; }

 private:
  pid_t child_ = -1;
};

}  // namespace baseline
