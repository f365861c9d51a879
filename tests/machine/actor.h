// A process that a test directs: it runs routines of the test program one by one, with numbers and
// descriptors going both ways. Forked off, so the address of a routine is good on both sides.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <sys/types.h>

#include "base/fd.h"

namespace hive::test {

struct Exchange {
  std::array<std::int64_t, 4> numbers{};
  std::vector<UniqueFd> in;
  std::vector<UniqueFd> out;
};
using Routine = std::int64_t (*)(Exchange&);

class Actor {
 public:
  Actor();
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;
  ~Actor();  // kills and reaps it

  struct Reply {
    std::int64_t value = 0;
    bool ended = false;  // the process died instead of answering
    std::vector<UniqueFd> fds;
  };
  // Runs it there and waits, for at most a minute.
  Reply call(Routine routine, std::array<std::int64_t, 4> numbers = {},
             const std::vector<int>& fds = {});
  std::int64_t run(Routine routine, std::array<std::int64_t, 4> numbers = {}) {
    return call(routine, numbers).value;
  }
  void begin(Routine routine, std::array<std::int64_t, 4> numbers = {},
             const std::vector<int>& fds = {});
  Reply finish();

  void kill();  // SIGKILL, and waits for its end
  int wait();   // wait status
  pid_t pid() const { return pid_; }

 private:
  [[noreturn]] void serve(int channel);
  pid_t pid_ = -1;
  UniqueFd channel_;
};

}  // namespace hive::test
