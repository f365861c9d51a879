// The home side of the firewall: what the kernel of a node does to the page tables of everybody
// who has mapped the node's memory. "The firewall is the MMU, worked from outside the process it
// fences."
//
// Calls on a FencedSpace wait for the mmap lock of the fenced process (47 ms were seen while one
// forked): they belong in a worker with somebody watching it, never on the receive loop.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <hive/error.h>
#include "base/fd.h"
#include "machine/layout.h"
#include "machine/linux/fence.h"
#include "machine/sabotage.h"

namespace hive::machine {

// One process's view of this node's user memory. Thread-safe; concurrent calls on overlapping
// ranges need an order that the caller sees to.
class FencedSpace {
 public:
  // `userfault`: what the process got from Fence::copy_for_home(); invalid in cooperative mode.
  FencedSpace(UniqueFd userfault, const Layout& layout, CellId node, FirewallMode mode,
              const Sabotage& sabotage = {});

  // Makes the pages of the range that are not there yet readable; one that is open stays open.
  // Pages without memory behind them (taken back, not refilled) are skipped. Returns how many are
  // there now. Asked for pages that it has given all, it looks again: Linux may have reclaimed
  // one. Errors: not_found (the process is gone), host, bad_argument (no such page).
  Result<std::uint32_t> give(PageRange range);
  // Gives what is not there and lets stores through. Errors: as give; lost (no memory behind one).
  // After an error the whole range is closed.
  Result<void> open(PageRange range);
  // No store gets through after it returns. Errors: not_found (the process is gone), host.
  Result<void> close(PageRange range);

  // The same for `count` pages at an address of the process's views, where it has had the fence
  // show frames of this node (Fence::show): which ones is its word. Nothing is remembered, so what
  // is open is not to be given. Errors also: bad_argument (no views are there).
  Result<std::uint32_t> give_at(std::uint64_t address, std::uint32_t count);
  Result<void> open_at(std::uint64_t address, std::uint32_t count);
  Result<void> close_at(std::uint64_t address, std::uint32_t count);

  // Notes that the range was taken back from everybody (NodeMemory::take_back).
  void forget(PageRange range);

 private:
  // A bit for each page.
  class Bits {
   public:
    explicit Bits(std::uint32_t pages) : words_((pages + 63) / 64) {}
    bool has(std::uint32_t page) const;
    std::uint32_t count(PageRange range) const;
    void set(PageRange range, bool value);

   private:
    std::vector<std::atomic<std::uint64_t>> words_;
  };

  // Both return how many pages were not there before. `note` hears of each run of pages, counted
  // from the first, whether they are there.
  using Note = std::function<void(PageRange run, bool there)>;
  Result<std::uint32_t> install(std::uint64_t address, std::uint32_t count, bool closed,
                                const Note& note);
  Result<std::uint32_t> install_missing(PageRange range, bool all);
  Result<void> protect_pages(std::uint64_t address, std::uint32_t count, bool on);
  Failure failure_of(int refused) const;
  std::uint64_t address(std::uint32_t page) const;

  UniqueFd userfault_;
  Layout layout_;
  CellId node_;
  FirewallMode mode_;
  bool never_closes_;  // Sabotage::firewall
  Bits given_;  // a hint, corrected by what Linux answers
  Bits open_;
};

// The memory of this node: two memfds of this incarnation, never reused by the next.
class NodeMemory {
 public:
  // Creates, populates and maps the node's memory in its own kernel: kernel memory writable and
  // then sealed against any further writable mapping, user memory behind the firewall like
  // everybody else's. reserve_machine_range() comes first. Errors: exhausted (the host has not
  // enough memory), host, and those of `test`, which is given kernel and user memory before
  // anybody else sees them, and leaves them zero.
  using Test = std::function<Result<void>(int memfd, std::uint64_t bytes)>;
  static Result<NodeMemory> create(const Layout& layout, CellId node, std::uint64_t incarnation,
                                   FirewallMode mode, const Test& test = {});
  NodeMemory(NodeMemory&&) noexcept;
  NodeMemory& operator=(NodeMemory&&) noexcept;
  ~NodeMemory();

  // Copies for a process that is about to map the node (it closes them after mapping).
  Result<UniqueFd> kernel_descriptor() const;
  Result<UniqueFd> user_descriptor() const;

  FencedSpace& own_space();  // this kernel's own view of its user memory

  // Takes the pages from everybody at once, and with them what they held: no store after it
  // returns. They stay without memory until refilled. Errors: host.
  Result<void> take_back(PageRange range);
  // Gives pages that were taken back new, zeroed memory. Errors: exhausted, lost (it has failed).
  Result<void> refill(PageRange range);

  // Copies out of and into frames past the firewall, at an offset from the beginning of user
  // memory; for the home alone. A page that was taken back reads as zero, and a write gives it
  // memory. Errors: lost (it has failed), host.
  Result<void> read(std::uint64_t offset, std::span<std::byte> out) const;
  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes);

  // The memory fails: from now on every access to it, by anybody, is a bus error. For injection.
  void fail();

 private:
  struct State;
  explicit NodeMemory(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace hive::machine
