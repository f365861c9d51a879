// How kernels find each other: at the boot all at once, later one at a time.
//
// A joiner attaches to the live cells (connect_to), and each of them attaches back (attach_back).
// Either side refuses what is not in order: a cell that has not yet done with the node's last
// incarnation says `busy`, and the joiner tries again until its time is up; an incarnation that
// was seen before is refused for good.

#include <algorithm>
#include <mutex>

#include <fmt/format.h>
#include <unistd.h>

#include "cell/boot/kernel.h"
#include "machine/fault_point.h"
#include "machine/linux/memory_test.h"
#include "machine/linux/power.h"
#include "proto/runtime_dir.h"

namespace hive::cell {
namespace {

constexpr std::uint64_t connect_timeout_ns = 10 * ns_per_s;  // to all other cells
constexpr useconds_t busy_pause_us = 2000;
constexpr std::uint64_t any_incarnation = 0;
// For both memories of the node together; what is left then is tested sparsely.
constexpr std::uint64_t memory_test_max_ns = 3 * ns_per_s;

}  // namespace

// A machine that boots is to be quick; the frames of a node that has died are looked at.
machine::NodeMemory::Test Kernel::memory_test() {
  if (!config_.joins()) return {};
  const std::uint64_t deadline_ns = now_ns() + memory_test_max_ns;
  return [this, deadline_ns](int memfd, std::uint64_t bytes) -> Result<void> {
    machine::fault_point(machine::FaultPoint::join_memory_test);
    const std::string bad = proto::bad_frame_file(config_.machine_dir, config_.self);
    const std::uint64_t begin = now_ns();
    const auto tested =
        machine::test_memory(memfd, bytes, deadline_ns, ::unlink(bad.c_str()) == 0);
    if (!tested) {
      // The monitor keeps a node out that says so.
      tell_monitor(
          {{"event", "failed"}, {"check", "memory"}, {"cause", tested.error().message()}});
      return fail(tested.error());
    }
    log(fmt::format("memory test: {} KiB in {} ms, {} KiB of them word by word",
                    tested->bytes / 1024, (now_ns() - begin) / ns_per_ms,
                    tested->thorough / 1024));
    return {};
  };
}

KernelAttachments Kernel::kernel_attachments() {
  return {.may_attach = [this](auto cell, auto life) { return may_attach(cell, life); },
          .attached = [this](auto cell, auto life) { on_kernel_attached(cell, life); },
          .gone = [this](auto cell, auto life) { on_kernel_gone(cell, life); },
          .takes_tasks = [this] { return takes_tasks(); }};
}

Result<void> Kernel::may_attach(CellId cell, std::uint64_t incarnation) {
  if (cell == config_.self || incarnation == 0) {
    return fail(Code::bad_argument, "the hello makes no sense", cell);
  }
  if (!is_up_) return {};  // all attach to all
  if (membership_->live().has(cell)) {
    return fail(Code::busy, "its last incarnation is still in the live set", cell);
  }
  if (peers_.is_new(cell, incarnation)) return {};
  return fail(Code::refused, "this incarnation of the cell was here before", cell);
}

void Kernel::on_kernel_gone(CellId cell, std::uint64_t incarnation) {
  if (!is_up_) return attached_back_.remove(cell);
  // One that did not get as far as the live set: no recovery will clean up after it.
  if (membership_->live().has(cell) || peers_.last_incarnation(cell) != incarnation) return;
  (void)errands_->post([this, cell, incarnation] {
    const std::scoped_lock lock(attach_back_mutex_);
    if (peers_.last_incarnation(cell) == incarnation) forget_peer(cell);
  });
}

void Kernel::connect_peers(CellSet cells) {
  const std::uint64_t deadline_ns = now_ns() + connect_timeout_ns;
  Result<void> done;
  for (; done && !cells.empty(); cells.remove(cells.lowest())) {
    done = connect_to(cells.lowest(), any_incarnation, deadline_ns);
    machine::fault_point(machine::FaultPoint::join_attach);
  }
  loop_->post([this, done] { on_connected(done); });
}

Result<void> Kernel::connect_to(CellId cell, std::uint64_t wanted, std::uint64_t deadline_ns) {
  auto peer = connect_peer(config_, cell, own_pidfd_.get(), deadline_ns);
  while (!peer && peer.error().code == Code::busy && now_ns() < deadline_ns) {
    ::usleep(busy_pause_us);
    peer = connect_peer(config_, cell, own_pidfd_.get(), deadline_ns);
  }
  if (!peer) return fail(peer.error());
  if (wanted != any_incarnation && peer->incarnation != wanted) {
    return fail(Code::cell_down, "another incarnation of the cell is there by now", cell);
  }
  PeerDescriptors descriptors;
  descriptors.doorbell = std::move(peer->doorbell);
  descriptors.power_pidfd = std::move(peer->power_pidfd);
  descriptors.starter_pidfd = std::move(peer->starter_pidfd);
  if (auto connected = hardware_->connect(cell, std::move(descriptors)); !connected) {
    return connected;
  }
  const std::uint64_t incarnation = peer->incarnation;
  const int pid = machine::pid_of_pidfd(peer->kernel_pidfd.get());
  peers_.add(std::move(*peer));
  rpc_->connect(cell, incarnation);
  loop_->post([this, cell, incarnation, pid] {
    survey_->note_peer(cell, incarnation, pid);
    if (!is_up_) membership_->on_attached(cell, incarnation);
  });
  return {};
}

void Kernel::on_connected(const Result<void>& done) {
  if (!done) return give_up(done.error().message());
  attached_to_all_ = true;
  look_whether_joined();
}

// At the boot everybody is told to connect; a joiner waits until the others have attached back, so
// that nothing is sent into a ring that is about to be reset.
void Kernel::look_whether_joined() {
  if (joined_ || !attached_to_all_) return;
  if (config_.joins() && (to_join_.bits() & ~attached_back_.bits()) != 0) return;
  joined_ = true;
  tell_monitor({{"event", "connected"}});
}

// Once in a while: time is up, or a cell that was to attach back never will.
void Kernel::look_whether_join_fails() {
  if (join_deadline_ns_ == 0) return;
  if (now_ns() >= join_deadline_ns_) give_up("it did not join in time");
  if (!attached_to_all_ || joined_) return;
  for (CellSet cells(to_join_.bits() & ~attached_back_.bits()); !cells.empty();
       cells.remove(cells.lowest())) {
    if (hardware_->is_off(cells.lowest())) {
      give_up(fmt::format("cell {} died meanwhile", cells.lowest()));
    }
  }
}

void Kernel::on_kernel_attached(CellId cell, std::uint64_t incarnation) {
  if (!is_up_) {
    attached_back_.add(cell);
    return look_whether_joined();
  }
  if (!errands_->post([this, cell, incarnation] { attach_back(cell, incarnation); })) {
    log(fmt::format("cell {} can not come back: too many errands wait here", cell));
  }
}

// On an errand thread: a node has come back, and its kernel is attached to this one.
void Kernel::attach_back(CellId cell, std::uint64_t incarnation) {
  const std::scoped_lock lock(attach_back_mutex_);
  if (peers_.attached_incarnation(cell) != incarnation) {  // else another errand was quicker
    forget_peer(cell);
    const auto connected = connect_to(cell, incarnation, now_ns() + connect_timeout_ns);
    if (!connected) {
      // It notices that this cell does not come, and ends itself.
      membership_->on_unreachable(cell, incarnation);
      return log(fmt::format("cell {} can not be attached to: {}", cell,
                             connected.error().message()));
    }
  }
  loop_->post([this, cell, incarnation] { on_peer_attached(cell, incarnation); });
}

// Nothing of a node that is off stays mapped here. Errand threads; before its next incarnation is
// attached to.
void Kernel::forget_peer(CellId cell) {
  rpc_->fail_cell(cell);
  hardware_->disconnect(cell);
  rpc_->quiesce(cell);
  hardware_->forget(cell);
  const std::optional<Peer> old = peers_.take(cell);
  if (!old) return;
  // Tasks may have it mapped still, and are to see a bus error: also where the survivor whose duty
  // this is has died.
  if (auto done = truncate(memory_of(*old)); !done) log(done.error().message());
}

// This cell and the new incarnation are attached both ways. When all are, it is taken in.
void Kernel::on_peer_attached(CellId cell, std::uint64_t incarnation) {
  if (peers_.last_incarnation(cell) != incarnation) return;  // gone again, another has come
  membership_->on_attached(cell, incarnation);
}

}  // namespace hive::cell
