#include "lib/peer_table.h"

#include <algorithm>

#include "base/safe_copy.h"
#include "lib/causes.h"
#include "lib/deadline.h"
#include "machine/linux/fd_channel.h"
#include "proto/runtime_dir.h"

namespace hive::lib {

PeerTable::PeerTable(const Membership& membership, CallState& state, std::unique_ptr<Peer> own)
    : membership_(membership), state_(state) {
  const std::scoped_lock lock(mutex_);
  state_.views.use_own(own.get());
  enter_locked(std::move(own));
}

Result<Peer*> PeerTable::attached_to(CellId cell) {
  if (cell < 0 || cell >= static_cast<CellId>(membership_.layout.cells)) {
    return fail(Code::not_found, "the machine has no cell of this number", cell);
  }
  if (Peer* const peer = find(cell)) {
    const PeerUse use(peer);
    if (use && use->gate().check_server()) return peer;
  }
  const std::scoped_lock lock(mutex_);
  return attach_locked(cell);
}

Result<Peer*> PeerTable::attach_locked(CellId cell) {
  if (state_.closing.load() != 0) return fail(Code::refused, cause_detached, cell);
  if (Peer* const old = find(cell)) {
    if (old->gate().check_server()) return old;
    // Only a live cell has a new incarnation; the memory of a dead one stays, as a bus error.
    if (auto alive = check_alive(cell); !alive) return fail(alive.error());
    if (!machine::channel_connect(proto::cell_socket(membership_.dir, cell))) {
      return fail(Code::cell_down, cause_cell_failed, cell);
    }
    if (!old->retire(deadline_in(attach_timeout_ns))) {
      return fail(Code::timed_out, "calls to the cell's last incarnation are still open", cell);
    }
    peers_[static_cast<std::size_t>(cell)].store(nullptr);
  } else if (auto alive = check_alive(cell); !alive) {
    return fail(alive.error());
  }
  HandshakeWish wish;
  wish.dir = membership_.dir;
  wish.cell = cell;
  wish.own_cell = membership_.cell;
  wish.task = membership_.task;
  wish.program = membership_.program;
  wish.layout = &membership_.layout;
  auto attached = shake_hands(wish, deadline_in(attach_timeout_ns));
  if (!attached) return fail(attached.error());
  if (state_.closing.load() != 0) return fail(Code::refused, cause_detached, cell);
  auto peer = Peer::create(std::move(*attached), membership_, state_);
  if (!peer) return fail(peer.error());
  enter_locked(std::move(*peer));
  return find(cell);
}

Result<void> PeerTable::check_alive(CellId cell) const {
  std::uint64_t live = 0;
  if (!safe_load64(&membership_.own_header()->live_set, live)) {
    end_task_without_cell(membership_.cell);
  }
  if (CellSet(live).has(cell)) return {};
  return fail(Code::cell_down, cause_cell_failed, cell);
}

void PeerTable::enter_locked(std::unique_ptr<Peer> peer) {
  auto& slot = peers_[static_cast<std::size_t>(peer->cell())];
  slot.store(peer.get(), std::memory_order_release);
  news_.watch(peer->cell(), peer->connection());
  all_.push_back(std::move(peer));
}

bool PeerTable::retire_all(std::uint64_t deadline_ns) {
  const std::scoped_lock lock(mutex_);
  // The task's own cell, which came first, goes last: calls to the others look at its live set and
  // its epoch.
  return std::all_of(all_.rbegin(), all_.rend(),
                     [&](const auto& peer) { return peer->retire(deadline_ns); });
}

void PeerTable::hang_up_all() noexcept {
  for (const auto& peer : peers_) {
    if (Peer* const open = peer.load()) open->hang_up();
  }
}

void PeerTable::close_in_child() noexcept {
  news_.close_in_child();
  for (const auto& peer : peers_) {
    if (Peer* const open = peer.load()) open->close_in_child();
  }
}

}  // namespace hive::lib
