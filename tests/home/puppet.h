// A real process behind the firewall that does what a test tells it: loads, stores, forks. Each
// has the node's memory mapped as a task has, and tells of a fault instead of dying from it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <hive/error.h>
#include "base/fd.h"
#include "machine/linux/fence.h"
#include "machine/linux/firewall.h"

namespace hive::cell::test {

enum class PuppetOp : std::uint32_t {
  attach = 1,   // + [kernel memory, user memory] -> [userfaultfd]
  arm,
  load,         // address -> value of 8 bytes
  store,        // address, value: 8 bytes
  store_pages,  // address, count, value: at the beginning and the end of each page
  hammer,       // address, count: a thread that stores to these pages for ever, fault or not
  fork_loop,    // count: a thread that forks for ever, with so many bytes of heap
};

struct PuppetCommand {
  PuppetOp op = PuppetOp::load;
  std::uint32_t mode = 0;
  std::int32_t node = 0;
  std::uint32_t reserved = 0;
  std::uint64_t address = 0;
  std::uint64_t value = 0;
  std::uint64_t count = 0;
  machine::Layout layout{};
};

struct PuppetAnswer {
  std::uint32_t ok = 0;  // 0: it faulted, or Linux refused
  std::uint32_t code = 0;
  std::uint64_t value = 0;
};

class Puppet {
 public:
  // Starts the process and has it map the node; `space` is what the home gets.
  static Result<std::unique_ptr<Puppet>> start(const machine::Layout& layout, CellId node,
                                               const machine::NodeMemory& memory,
                                               machine::FirewallMode mode);
  Puppet(const Puppet&) = delete;
  Puppet& operator=(const Puppet&) = delete;
  ~Puppet();  // kills it

  std::unique_ptr<machine::FencedSpace> take_space() { return std::move(space_); }

  // None: it faulted, or the process is dead.
  std::optional<std::uint64_t> load(std::uint64_t address);
  bool store(std::uint64_t address, std::uint64_t value);
  bool store_pages(std::uint64_t address, std::uint64_t pages, std::uint64_t value);
  bool hammer(std::uint64_t address, std::uint64_t pages);
  bool fork_loop(std::uint64_t heap_bytes);

  void kill();  // and waits until it is dead. Any thread, any number of times.
  void signal(int number);

 private:
  Puppet() = default;
  Result<PuppetAnswer> tell(const PuppetCommand& command, std::span<const int> fds,
                            UniqueFd* descriptor);
  std::optional<PuppetAnswer> tell(const PuppetCommand& command);

  int pid_ = -1;
  UniqueFd pidfd_;
  UniqueFd channel_;
  std::unique_ptr<machine::FencedSpace> space_;
};

}  // namespace hive::cell::test
