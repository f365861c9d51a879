// What the kernel does when other cells die and come back: its part in recovery, and the news of
// it.

#include <fmt/format.h>

#include "cell/boot/kernel.h"
#include "machine/fault_point.h"
#include "machine/linux/power.h"
#include "proto/news.h"

namespace hive::cell {
namespace {

proto::NewsMessage news_of(proto::NewsKind kind, CellId cell, std::uint64_t epoch) {
  proto::NewsMessage news;
  news.kind = kind;
  news.cell = cell;
  news.epoch = epoch;
  return news;
}

}  // namespace

// On the detector's thread, before barrier 1. The node is off; nothing of it stores any more. What
// it could write here is taken back, and nobody waits for it any longer. May come again.
void Kernel::close_to(CellId dead, const std::string& cause) {
  rpc_->fail_cell(dead);
  hardware_->disconnect(dead);
  borrowed_->on_lender_down(dead);
  clients_->end_tasks_of(dead);  // before what they had is given to others
  home_->close_loans_of(dead);
  post_mortem_->note(dead, home_->on_cell_down(dead));
  log(fmt::format("cell {} is lost: {}", dead, cause));
}

// On the detector's thread, after barrier 1: no process anywhere uses what is given up here.
void Kernel::discard_of(CellId dead) {
  local_names_->forget_cell(dead);
  machine::fault_point(machine::FaultPoint::recovery_discard);
}

// After barrier 2, and off the detector's thread: giving a gigabyte back to the host takes a
// quarter of a second. The first of the survivors does that for all, once.
void Kernel::bury(const Membership::Loss& loss, CellSet survivors) {
  if (auto written = post_mortem_->write(loss, survivors); !written) {
    log(written.error().message());
  }
  if (survivors.lowest() != config_.self) return;
  DeadMemory memory;
  peers_.with(loss.cell, [&](const Peer& peer) {
    // Also where a test takes votes for deaths: memory in use is nobody's to give back.
    if (peer.incarnation == loss.incarnation && hardware_->is_off(loss.cell)) {
      memory = memory_of(peer);
    }
  });
  if (auto done = truncate(memory); !done) log(done.error().message());
}

// On the detector's thread: the live set has changed, and everybody goes on.
void Kernel::on_settled(const Membership::Settled& settled) {
  const CellSet survivors(settled.live.bits() & ~settled.back.bits());
  for (const Membership::Loss& loss : settled.losses) {
    home_->free_loans_of(loss.cell);
    (void)errands_->post([this, loss, survivors] { bury(loss, survivors); });
  }
  files_->settle();
  loop_->post([this, settled] {
    if (!is_up_ && config_.joins() && settled.live.has(config_.self)) come_up();
    for (const Membership::Loss& loss : settled.losses) {
      tell_monitor({{"event", "cell_down"}, {"cell", loss.cell}, {"epoch", settled.epoch},
                    {"cause", loss.cause}});
      auto news = news_of(proto::NewsKind::cell_failed, loss.cell, settled.epoch);
      loss.cause.copy(news.cause.data(), news.cause.size() - 1);
      attach_->tell_own_tasks(news);
    }
    // To one that has just been taken in, all the others are new.
    const bool is_new_here = settled.back.has(config_.self);
    for (CellSet back = is_new_here ? CellSet() : settled.back; !back.empty();
         back.remove(back.lowest())) {
      log(fmt::format("cell {} is back, epoch {}", back.lowest(), settled.epoch));
      attach_->tell_own_tasks(
          news_of(proto::NewsKind::cell_back, back.lowest(), settled.epoch));
    }
    start_monitor_if_due();
  });
}

int Kernel::kernel_pid(CellId cell) {
  int pid = -1;
  peers_.with(cell, [&](const Peer& peer) {
    pid = machine::pid_of_pidfd(peer.kernel_pidfd.get());
  });
  return pid;
}

// The detector has read that the node was taken in, and this cell is not attached to it yet.
void Kernel::attach_to(CellId cell, std::uint64_t incarnation) {
  (void)errands_->post([this, cell, incarnation] {
    // Its last incarnation goes first; we are asked again soon.
    if (membership_->live().has(cell)) return;
    attach_back(cell, incarnation);
  });
}

}  // namespace hive::cell
