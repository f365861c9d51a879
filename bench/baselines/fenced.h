// Shared memory that one process has mapped behind a userfaultfd which another holds: the bare
// mechanism of a firewall of pages.
#pragma once

#include <cstddef>
#include <cstdint>

namespace baseline {

inline constexpr std::uint64_t page_bytes = 4096;

class Fenced {
 public:
  // Maps populated memory and registers it for MISSING, MINOR and WP faults, which raise SIGBUS.
  // The mapping stays with the process that makes it; a child that it forks has the descriptors,
  // and does with them to its parent's page tables what it likes.
  explicit Fenced(std::uint64_t pages);
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;

  bool made() const { return data_ != nullptr; }
  volatile std::uint8_t* page(std::uint64_t number) const { return data_ + number * page_bytes; }

  bool give(std::uint64_t first, std::uint64_t pages) const;  // closed to stores
  bool protect(std::uint64_t first, std::uint64_t pages, bool on) const;
  bool punch(std::uint64_t first, std::uint64_t pages) const;
  bool refill(std::uint64_t first, std::uint64_t pages) const;

 private:
  std::uint64_t bytes_ = 0;
  int memory_ = -1;
  int userfault_ = -1;
  std::uint8_t* data_ = nullptr;
};

}  // namespace baseline
