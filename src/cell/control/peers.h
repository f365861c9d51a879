// The other cells, as this kernel is attached to them: each peer's memory behind its fence, its
// doorbell, and what can switch it off.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>

#include <hive/error.h>
#include "base/fd.h"
#include "base/ids.h"
#include "cell/boot/config.h"
#include "machine/linux/fence.h"

namespace hive::cell {

// The descriptors that come with a welcome, in this order; a task gets the first three.
enum WelcomeFd : std::size_t {
  welcome_kernel_memory,
  welcome_user_memory,
  welcome_doorbell,
  welcome_power_pidfd,
  welcome_starter_pidfd,
  welcome_kernel_pidfd,
  welcome_kernel_path,  // O_PATH: can be reopened by a recovery master, not stored to by accident
  welcome_user_path,
  welcome_fds
};

struct Peer {
  CellId cell = -1;
  std::uint64_t incarnation = 0;
  std::optional<machine::Fence> fence;
  UniqueFd connection;
  UniqueFd doorbell;
  UniqueFd power_pidfd;
  UniqueFd starter_pidfd;
  UniqueFd kernel_pidfd;
  UniqueFd kernel_path;
  UniqueFd user_path;
};

// Attaches this kernel to another cell (the kernel's side of attach.h). Blocks up to deadline_ns.
// Errors: cell_down, timed_out, version, corrupt (an answer that makes no sense), busy (the cell
// has not yet done with this node's last incarnation), host.
Result<Peer> connect_peer(const Config& config, CellId cell, int own_pidfd,
                          std::uint64_t deadline_ns);

// What it takes to give the memory of a dead node back to the host. Invalid descriptors: nothing.
struct DeadMemory {
  UniqueFd kernel_path;
  UniqueFd user_path;
};
DeadMemory memory_of(const Peer& peer);
// Every mapping of it is a bus error from now on. Blocks: a quarter of a second for a gigabyte.
// Errors: host.
Result<void> truncate(const DeadMemory& memory);

// The peers by cell. Thread-safe.
class Peers {
 public:
  void add(Peer peer);
  // The peer, which is none any more: with it goes its fence, where the caller wants it.
  std::optional<Peer> take(CellId cell);
  // Notes an incarnation of a cell. False if it, or a later one, was seen before.
  bool is_new(CellId cell, std::uint64_t incarnation);
  // Of the peer that is there, 0 for none.
  std::uint64_t attached_incarnation(CellId cell) const;
  // The last that was noted, 0 for none.
  std::uint64_t last_incarnation(CellId cell) const;
  // Runs `use(peer)` under the lock; false when there is no such peer.
  template <class Use>
  bool with(CellId cell, Use use) {
    const std::scoped_lock lock(mutex_);
    if (cell < 0 || cell >= max_cells || !peers_[static_cast<std::size_t>(cell)]) return false;
    use(*peers_[static_cast<std::size_t>(cell)]);
    return true;
  }

 private:
  mutable std::mutex mutex_;
  std::array<std::optional<Peer>, max_cells> peers_;          // guarded by mutex_
  std::array<std::uint64_t, max_cells> last_incarnations_{};  // guarded by mutex_
};

}  // namespace hive::cell
