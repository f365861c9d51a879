// Agreement on the live set, recovery and reintegration, as one cell sees them: pure state,
// without I/O, threads or time. What the cell learns comes in through on_*() and read(), what it
// has to do comes out of take_orders(), what it says is board(). The kernel drives it with real
// boards (membership.h), the simulator with made-up ones (tests/member). docs/agreement.md has the
// rules and why they are right.
//
//   input      read a board, saw a node off, a hint, a probe's end, a peer attached, time
//   order      probe a cell, take the fence lock, switch off, attach; close, discard, settle
//   output     the board, to be published after each input if it changed, before orders are obeyed
//
// The same inputs give the same outputs. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "cell/member/ballots.h"
#include "cell/member/board.h"
#include "cell/member/view.h"

namespace hive::cell {

struct MemberOrder {
  enum class What : std::uint8_t {
    probe,      // look whether incarnation `number` of `cell` gets on; answer with on_probe()
    fence,      // try the fence lock of `epoch`, without waiting; answer with on_fence()
    power_off,  // switch `cell` off; on_off() once it is
    attach,     // attach to incarnation `number` of `cell`; on_attached() once it is done,
                // or on_unreachable()
    close,      // give up and take back what `cells` had, all that depends on them; on_closed()
    discard,    // free what was taken back from `cells`; on_discarded()
    settle,     // publish `view`: those who waited go on
    reboot,     // have `cell` started anew, with an incarnation above `number`
  };
  What what;
  CellId cell = -1;
  std::uint32_t ballot = 0;   // probe, fence: passed back
  std::uint64_t number = 0;
  std::uint32_t round = 0;    // close, discard: passed back
  CellSet cells{};
  View view{};
  std::uint64_t epoch = 0;
};

// What the machine says about a node: the facts on which no other cell's word is taken.
class NodeFacts {
 public:
  virtual ~NodeFacts() = default;
  // Whether this incarnation, to which we were attached, is known to be off.
  virtual bool is_off(CellId cell, std::uint64_t incarnation) = 0;
};

// Defences that a test turns off. Each has a violation that the simulator must find.
struct MemberSabotage {
  bool skip_first_barrier = false;    // discards while others still reach the pages
  bool skip_second_barrier = false;   // goes on while others still discard
  bool believe_deaths = false;        // takes another's word for a death
  bool settle_before_off = false;     // takes a vote for a death
  bool reuse_incarnation = false;     // takes a node back in under its old number
  bool no_restart = false;            // a death during recovery waits until that has ended
  bool forget_epoch = false;          // counts its own recoveries in place of events
  BallotSabotage ballots;
};

// What a probe finds of a cell: it gets on, does so but has to wait for a processor, or does not.
enum class Found : std::uint8_t { sound, starved, guilty };

struct MemberTimes {
  BallotTimes ballots;
  // Without progress of somebody we wait for: the former, or with many cells the latter for each
  // that takes part. On fewer processors than cells they go through a recovery one by one.
  std::uint64_t barrier_late_ns = 1'000'000'000;
  std::uint64_t barrier_late_each_ns = 125'000'000;
  // So many times that for one that is starved, as slow is not dead; but not for ever.
  std::uint64_t barrier_starved_factor = 20;
  std::uint64_t attach_retry_ns = 50'000'000;
  std::uint64_t reboot_retry_ns = 5'000'000'000;
};

class MemberCore {
 public:
  MemberCore(CellId self, int cells, NodeFacts& facts, MemberTimes times = {},
             MemberSabotage sabotage = {});

  // One of these first. A machine that boots: all live in their first incarnation, and are
  // attached.
  void start_first();
  // A cell that comes back: attached to the live cells of `view`, in which its own life has ended.
  void start_joining(std::uint64_t incarnation);

  // A copy of another cell's board, already checked for its type. False: it makes no sense, and
  // its owner is suspected.
  bool read(CellId from, const Board& board, std::uint64_t now);
  // To be called whenever the node may have gone off; asks the facts.
  void look(CellId cell, std::uint64_t now);
  void on_hint(CellId cell, Hint hint, std::uint64_t now);
  // What was found of a life that is over says nothing of the next one.
  void on_probe(CellId cell, std::uint64_t incarnation, Found found, std::uint64_t now);
  void on_fence(CellId cell, std::uint32_t ballot, bool held, std::uint64_t now);
  void on_attached(CellId cell, std::uint64_t incarnation, std::uint64_t now);
  // An order to attach failed: that incarnation is not there.
  void on_unreachable(CellId cell, std::uint64_t incarnation, std::uint64_t now);
  void on_closed(std::uint32_t round, std::uint64_t now);
  void on_discarded(std::uint32_t round, std::uint64_t now);
  void on_progress() { ++board_.progress; }
  void on_tick(std::uint64_t now);
  // Accuses without looking: a fault to be injected.
  void accuse(CellId cell, Hint hint, std::uint64_t now);
  // Whether this cell, as master, has dead nodes started anew: after each recovery, and again
  // every reboot_retry_ns. Asks at once for those that are missing.
  void set_reboots(bool on, std::uint64_t now);

  const Board& board() const { return board_; }
  std::vector<MemberOrder> take_orders() { return std::exchange(orders_, {}); }

  const View& view() const { return board_.view; }
  const View& settled() const { return settled_; }
  std::uint64_t epoch_of(const View& view) const { return view.epoch(cells_); }
  Phase phase() const { return board_.phase; }
  std::uint32_t round() const { return round_; }
  bool is_member() const { return board_.phase != Phase::joining; }
  bool is_attached(CellId cell) const { return attached_[index(cell)] != 0; }
  std::uint64_t attached_to(CellId cell) const { return attached_[index(cell)]; }  // incarnation
  std::vector<Vote> votes_on(CellId cell) const {
    return ballots_.votes_on(cell, board_.view.live());
  }
  bool has_open_ballot() const { return ballots_.has_open(); }
  std::uint32_t voted_down() const { return ballots_.voted_down(); }
  std::uint32_t alerts() const { return ballots_.alerts(); }
  std::uint32_t restarts() const { return restarts_; }
  CellSet waited_for() const;  // cells that have not come to the barrier at which we wait
  // Those of them without any progress for too long, or for so many times as long.
  CellSet late_at_barrier(std::uint64_t now, std::uint64_t times = 1) const;

 private:
  static std::size_t index(CellId cell) { return static_cast<std::size_t>(cell); }
  bool is_plausible(CellId from, const Board& board) const;
  bool may_accuse(CellId cell) const;
  bool merge(const View& theirs, std::uint64_t now);
  bool merge_one(CellId cell, Life theirs, std::uint64_t now);
  void merge_all(std::uint64_t now);
  void read_ballots_anew(std::uint64_t now);
  void become_member(std::uint64_t now);
  void raise(CellId cell, Life life);
  void advance(std::uint64_t now);
  CellSet gone_since(const View& before) const;
  void begin_round(std::uint64_t now);
  CellSet short_of(Phase phase) const;
  void settle(std::uint64_t now);
  void try_take_in();
  void ask_for_reboots(std::uint64_t now);
  void watch_barrier(std::uint64_t now);
  void pass_on_ballots();

  const CellId self_;
  const int cells_;
  NodeFacts& facts_;
  const MemberTimes times_;
  const MemberSabotage sabotage_;
  Ballots ballots_;
  Board board_;
  std::uint64_t own_incarnation_ = 1;
  std::uint64_t rounds_settled_ = 0;
  View settled_;     // the view that we settled last
  View discarded_;   // the view whose dead we are done with
  View round_view_;  // the view of the round under way
  std::uint32_t round_ = 0;
  std::uint32_t restarts_ = 0;  // rounds begun while another was under way
  bool reboots_ = false;
  bool reads_anew_ = false;  // boards may speak of lives that we did not know when we read them
  std::array<std::uint64_t, max_cells> attached_{};  // incarnation; 0: never
  std::array<std::uint64_t, max_cells> unreachable_{};  // incarnations that could not be attached
  std::array<Board, max_cells> seen_{};
  std::array<std::uint64_t, max_cells> changed_ns_{};  // when its board was seen to change
  CellSet unsound_;  // whose boards make no sense
  std::array<std::uint64_t, max_cells> next_attach_ns_{};
  std::array<std::uint64_t, max_cells> next_reboot_ns_{};
  std::uint64_t waits_since_ns_ = 0;
  std::vector<MemberOrder> orders_;
};

}  // namespace hive::cell
