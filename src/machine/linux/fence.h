// The fenced side of the firewall: how a process (a kernel or a task) maps a node's memory so that
// the node's home, and nobody else, decides which of its pages are there and which take stores.
//
// Order of things, of which no step may be left out or swapped:
//   1. reserve()      the whole machine range is taken with PROT_NONE, once for each process
//   2. Fence::map()   kernel memory read-only, user memory PROT_READ, DONTFORK and DONTDUMP set,
//                     registered with a userfaultfd; both memfds closed
//   3. copy_for_home() goes to the home over a channel, and the home acknowledges
//   4. arm()          user memory becomes PROT_READ|PROT_WRITE (mode `mmu` only)
// A frame that is to be seen at another address too gets there by show(), in an order of the same
// kind: a copy of the mould, which is PROT_NONE, then registered, and only then accessible. The
// home works it at that address through the same userfaultfd.
// The fence keeps a descriptor of its own that closes pages only: when the last descriptor of a
// userfaultfd closes, all its protection falls away, and the fence must outlive the home. (A
// program that closes descriptors which are not its own takes this defence off; the page stays
// closed as long as the home lives.)
#pragma once

#include <cstdint>
#include <memory>

#include <hive/error.h>
#include "base/fd.h"
#include "machine/layout.h"

namespace hive::machine {

enum class FirewallMode : std::uint32_t {
  mmu = 1,  // UFFDIO_CONTINUE with MODE_WP: the mapping is writable, pages are closed one by one
  mmu_windowed = 2,  // kernels before it (6.1): the mapping is PROT_READ outside windows
  cooperative = 3,   // no userfaultfd: each process protects itself; only when told to
};
// "mmu", "mmu-windowed", "cooperative".
const char* firewall_mode_name(FirewallMode mode) noexcept;

// What this host allows, tried out on a scratch mapping. `cooperative` when userfaultfd is
// refused.
FirewallMode probe_firewall_mode();

// A new userfaultfd with the features that the firewall needs: by the system call, else by
// /dev/userfaultfd. Errors: exhausted (descriptors), host (refused, or a feature is lacking).
Result<UniqueFd> make_userfaultfd();

// Takes the address range of the machine, so that nothing else in this process lands there. Doing
// it twice for the same layout is fine. Errors: exhausted (something is there already).
Result<void> reserve_machine_range(const Layout& layout);
// Gives it back; every fence must be gone.
void release_machine_range(const Layout& layout);

class Fence {
 public:
  // Takes over both descriptors and closes them. One fence for each node in a process: the one of
  // an old incarnation goes before the new one is made. Errors: busy (the process has one
  // already), bad_argument (no such node, or a memory of another size), exhausted, host.
  static Result<Fence> map(const Layout& layout, CellId node, UniqueFd kernel_memory,
                           UniqueFd user_memory, FirewallMode mode);
  // For the node's own kernel, whose kernel memory is mapped writable already (node_memory.h).
  static Result<Fence> map_user_only(const Layout& layout, CellId node, UniqueFd user_memory,
                                     FirewallMode mode);
  Fence(Fence&& other) noexcept;
  Fence& operator=(Fence&& other) noexcept;
  Fence(const Fence&) = delete;
  Fence& operator=(const Fence&) = delete;
  ~Fence();  // puts PROT_NONE back over the node's range

  // Invalid in cooperative mode.
  Result<UniqueFd> copy_for_home() const;
  Result<void> arm();

  // Around a window. begin_stores(), where the mapping is not writable otherwise, comes after the
  // home has opened the pages; end_stores() before it closes them. In mode mmu the latter closes
  // them here already: closed pages cost the home no interrupt of our processor.
  // Async-signal-safe.
  Result<void> begin_stores(PageRange range) const;
  Result<void> end_stores(PageRange range) const;

  // Makes addresses of the views stand for these frames, whatever they stood for before; nothing
  // is there until the home gives it. `stores`: the home may open them, else a store is SIGSEGV.
  // After an error the range shows nothing. Async-signal-safe; callers keep calls on one range
  // apart. Errors: exhausted (too many mappings in this process), bad_argument, host.
  Result<void> show(std::uint64_t address, PageRange frames, bool stores) const;
  // The range shows nothing from now on.
  static void hide(std::uint64_t address, std::uint64_t bytes) noexcept;
  // As begin_stores() and its opposite, for addresses of the views: nothing in mode mmu.
  Result<void> let_stores(std::uint64_t address, std::uint64_t bytes, bool on) const;

  CellId node() const { return node_; }

 private:
  Fence() = default;
  Result<void> set_protection(PageRange range, int protection) const;
  Result<void> map_mould(const UniqueFd& user_memory) const;

  Layout layout_{};
  CellId node_ = -1;
  FirewallMode mode_ = FirewallMode::cooperative;
  bool owns_kernel_mapping_ = false;
  UniqueFd userfault_;
};

// After this, memory system calls (mmap, munmap, mprotect, mremap, madvise, ...) aimed at the
// machine's range, and ioctls on userfaultfds, fail with EPERM in every thread of this process and
// its children, unless they come from Hive's own call gate (also after exec: a child may attach).
// process_madvise, shmat with SHM_REMAP and the x32 ABI are refused altogether. A call that ends
// up to 128 KiB below the range is refused too, unless it is in whole units of 64 KiB. Out of its
// sight: what io_uring does in the name of the process (IORING_OP_MADVISE). Sets no_new_privs.
// Errors: host.
Result<void> install_memory_call_filter(const Layout& layout);

}  // namespace hive::machine
