// The live set of this cell: drives the protocol (member_core.h) with what the machine shows.
//
// One thread, the detector, reads the boards of the others, watches their lifelines, probes who is
// accused, switches off who was voted out, and runs the participants through the two phases of a
// recovery. It sleeps on the lifelines and member words of all cells at once.
//
// Participants give up what a dead cell had here:
//   close     before barrier 1: takes back every page that the dead could write, ends waits for it
//   discard   after it: frees, settles tables, gives memory back to the host
//   settle    after barrier 2, and with the new live set published: those who waited go on
// close and discard may be called again for the same death, when another one comes in between.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/ids.h"
#include "cell/heap/tagged_heap.h"
#include "cell/member/board_reader.h"
#include "cell/member/clock_watch.h"
#include "cell/member/garbage_count.h"
#include "cell/member/member_core.h"
#include "cell/member/probe.h"
#include "cell/member/published.h"
#include "machine/hardware.h"
#include "machine/node_header.h"
#include "machine/sabotage.h"

namespace hive::cell {

class Membership final : private NodeFacts {
 public:
  // Called on the detector's thread. Must not block for long.
  struct Participant {
    std::function<void(CellId dead, const std::string& cause)> close;
    std::function<void(CellId dead)> discard;
  };
  // A recovery as this cell went through it; times are monotonic.
  struct Loss {
    CellId cell = -1;
    std::uint64_t incarnation = 0;
    std::uint64_t epoch = 0;  // of the live set without it
    std::string cause;
    std::uint64_t noticed_ns = 0;    // the first sign
    std::uint64_t known_off_ns = 0;  // agreed: its power is off
    std::uint64_t closed_ns = 0;     // came to barrier 1
    std::uint64_t passed_ns = 0;     // all had come
    std::uint64_t discarded_ns = 0;  // came to barrier 2
    std::uint64_t done_ns = 0;       // settled
    std::vector<Vote> votes;         // as counted here when it was condemned; none for a death
  };
  struct Settled {
    CellSet live;
    CellSet back;  // members that the live set before did not have
    std::uint64_t epoch = 0;
    std::vector<Loss> losses;  // what it has lost since then
  };
  struct Parts {
    machine::Layout layout;
    CellId self = -1;
    std::uint64_t incarnation = 1;
    machine::Hardware& hardware;
    TaggedHeap& heap;
    machine::Sabotage sabotage{};
    std::string fence_path;                 // of the fence lock
    std::function<int(CellId)> kernel_pid;  // of another cell's kernel, or -1
    // Whether all that the cell publishes holds together: corrupt, cell_down, or busy, which says
    // nothing. Must not block.
    std::function<Result<void>(CellId cell, std::uint64_t incarnation)> inspect;
    std::function<bool()> is_self_off;  // the power of this node is gone; so it ends in a moment
    // Has the monitor start a node anew, of which this incarnation was the last to be a member.
    std::function<void(CellId cell, std::uint64_t incarnation)> reboot;
    // Attaches to that incarnation, elsewhere; on_attached() or on_unreachable() follows.
    std::function<void(CellId cell, std::uint64_t incarnation)> attach;
    std::function<void(const Settled&)> settled;  // on the detector's thread
    std::function<void(const std::string&)> log;
  };

  explicit Membership(Parts parts);
  ~Membership() override;

  // Before start(): what to call, in this order.
  void add_participant(Participant participant);
  const MemberBoard* board() const { return published_; }  // null when the heap is full

  // With all cells of a machine that boots attached; or, for a cell that comes back, with all live
  // ones attached.
  void start();
  void stop();

  // Any thread; the detector acts on it.
  void on_attached(CellId cell, std::uint64_t incarnation);
  void on_unreachable(CellId cell, std::uint64_t incarnation);
  void hint(CellId cell, Hint hint);
  // Accuses the cell without a reason, as often as is told, each time as soon as it can: a fault
  // to be injected.
  void accuse_falsely(CellId cell, int times);
  // By the receive loop at each of its ticks. Returns whether any other cell is busy.
  bool on_tick(std::uint64_t own_tick_ns);

  // Whether this cell, as recovery master, has dead nodes started anew; says so once more, for a
  // monitor that is new.
  void set_reboots(bool on);

  // The settled live set and its epoch. Any thread.
  CellSet live() const { return CellSet(own_->live_set.load(std::memory_order_acquire)); }
  std::uint64_t epoch() const { return own_->epoch.load(std::memory_order_acquire); }
  std::vector<Loss> losses() const;
  // What was counted; any thread.
  std::uint32_t alerts() const { return alerts_.load(std::memory_order_relaxed); }
  std::uint32_t alerts_voted_down() const { return voted_down_.load(std::memory_order_relaxed); }
  const CarefulCounters& board_counters(CellId cell) const { return reader_.counters(cell); }

 private:
  using Input = std::function<void(std::uint64_t now)>;

  bool is_off(CellId cell, std::uint64_t incarnation) override;  // NodeFacts
  void watch(const std::stop_token& stop);
  void take_inputs();
  void post(Input input);
  void look_at(CellId cell, std::uint64_t now, bool is_tick);
  bool is_calm() const;
  void on_own_tick(std::uint64_t now);
  void publish_live_set(CellSet live, std::uint64_t epoch);
  void note_sign(CellId cell, const char* cause, std::uint64_t now);
  void look_at_all(std::uint64_t now, bool is_tick);
  void run_probes(std::uint64_t now);
  std::optional<Found> finding_of(CellId cell, Probe& probe, std::uint64_t now) const;
  bool is_sound(CellId cell) const;
  void inspect_next(std::uint64_t now);
  void obey_orders();
  void obey(const MemberOrder& order);
  void close(const MemberOrder& order);
  void discard(const MemberOrder& order);
  void settle(const MemberOrder& order);
  void raise_false_alarms(std::uint64_t now);
  void try_fence(const MemberOrder& order);
  void publish_board();
  void sleep(std::uint64_t now);
  std::uint64_t wake_at(std::uint64_t now) const;

  const Parts parts_;
  machine::NodeHeader* const own_;
  MemberBoard* const published_;
  std::vector<Participant> participants_;
  ClockWatch clocks_;

  std::mutex inputs_mutex_;
  std::vector<Input> inputs_;  // guarded by inputs_mutex_
  std::atomic<std::uint32_t> inputs_word_{0};
  std::array<GarbageCount, max_cells> garbage_;
  std::atomic<std::uint64_t> late_before_{0};  // cells that were late at the last tick

  // The detector's own.
  MemberCore core_;
  BoardReader reader_;
  Board board_;      // as read last; not on the stack of each look
  Board announced_;  // as published last
  struct OpenProbe {
    std::uint64_t incarnation;
    Probe probe;
  };
  std::map<CellId, OpenProbe> probes_;
  std::map<CellId, std::uint64_t> switched_off_;  // until they are known off: when
  std::map<CellId, Loss> losing_;                 // dead, recovery under way
  std::uint64_t next_tick_ns_ = 0;
  std::uint64_t next_inspection_ns_ = 0;
  CellId inspected_ = -1;  // last
  std::map<CellId, int> false_alarms_;  // that are still to be raised
  std::atomic<std::uint32_t> alerts_{0};
  std::atomic<std::uint32_t> voted_down_{0};

  mutable std::mutex losses_mutex_;
  std::vector<Loss> losses_;  // guarded by losses_mutex_
  std::jthread watcher_;
};

}  // namespace hive::cell
