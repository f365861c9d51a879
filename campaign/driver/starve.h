// Takes a process the processors away without stopping it: it is runnable and waits, as on a host
// that is too busy. Slow is not dead, so nobody may be voted out for it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <thread>
#include <vector>

namespace hive::campaign {

class Starve {
 public:
  // `pid` is pinned by the caller. Its threads run only when nobody else wants to, and from now on
  // somebody does on every processor.
  explicit Starve(int pid);
  ~Starve();  // as it was before
  Starve(const Starve&) = delete;
  Starve& operator=(const Starve&) = delete;

 private:
  // As Linux has it; its header and that of the C library can not both be had.
  struct Attributes {
    std::uint32_t size = 56;
    std::uint32_t policy = 0;
    std::uint64_t rest[6] = {};
  };
  const int pid_;
  std::map<int, Attributes> before_;
  std::atomic<bool> stop_{false};
  std::vector<std::jthread> busy_;
};

}  // namespace hive::campaign
