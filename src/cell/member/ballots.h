// Accusations and votes: whether a cell that is still alive may be switched off. Pure state,
// driven by member_core.h; docs/agreement.md says what the rules are.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "cell/member/board.h"

namespace hive::cell {

struct BallotTimes {
  // Who has not spoken by then is not waited for: so long for each of those that are silent. On
  // fewer processors than cells they get to look one after the other.
  std::uint64_t ballot_max_ns = 200'000'000;
  std::uint64_t contest_ns = 25'000'000;            // for the accused to show that it lives
  std::uint64_t fence_retry_ns = 5'000'000;         // its holder may have died
  std::uint64_t alarm_memory_ns = 10'000'000'000;   // how long a false alarm counts
  std::uint64_t power_retry_ns = 10'000'000;        // between two times of switching off
};

// Rules that a test turns off.
struct BallotSabotage {
  bool minority_decides = false;    // one guilty vote is enough
  bool drop_votes = false;          // the ballots of others are not taken up
  bool trust_false_alarms = false;  // accusers are never called to account
};

// A number above the largest one known by more than this was never given out.
inline constexpr std::uint32_t ballot_jump_max = 1024;

struct BallotOrder {
  enum class What : std::uint8_t { probe, fence, power_off };
  What what;
  CellId cell;
  std::uint32_t ballot;
};

struct Vote {
  CellId by = -1;
  Verdict verdict = Verdict::none;  // none: it has not spoken
  Hint hint = Hint::none;
  bool accuser = false;
};

class Ballots {
 public:
  Ballots(CellId self, int cells, BallotTimes times, BallotSabotage sabotage);

  // Something is wrong with the cell; leads to a probe, unless there is one under way.
  void suspect(CellId cell, Hint hint, std::uint64_t now);
  // The end of a probe of the cell. `guilty`: it hangs.
  void on_probe(CellId cell, bool guilty, std::uint64_t now);
  // Accuses without a probe: for the tests of false alarms.
  void accuse(CellId cell, Hint hint, std::uint64_t now);
  // The answer to a fence order, after all boards were read anew. Held: our opinion decides,
  // unless we are condemned ourselves: then others may have gone on without us already.
  void on_fence(CellId cell, std::uint32_t ballot, bool held, CellSet live);

  // What another live cell shows. False: it can not be what an intact cell shows.
  bool read(CellId from, const Board& board, const View& view, std::uint64_t now);
  // Counts votes, starts what is due. `live`: the live set with ourselves.
  void evaluate(CellSet live, std::uint64_t now);
  // The node has a new life: what was said about the former one, and by it, is forgotten.
  void begin_life(CellId cell, Life life);

  const std::array<Opinion, max_cells>& opinions() const { return own_; }
  // What everybody of `voters` says, as known here, on our latest ballot on the cell.
  std::vector<Vote> votes_on(CellId cell, CellSet voters) const;
  std::vector<BallotOrder> take_orders() { return std::exchange(orders_, {}); }
  bool has_open() const;
  std::uint32_t voted_down() const { return voted_down_; }
  std::uint32_t alerts() const { return alerts_; }  // raised by this cell

 private:
  struct Accused {
    bool is_probing = false;
    bool is_open = false;  // own_ is a ballot that was not decided yet
    bool fence_asked = false;
    Hint hint = Hint::none;
    std::uint64_t opened_ns = 0;
    std::uint64_t disputed_ns = 0;  // since when only the fence can decide it; 0: not yet
    std::uint64_t next_fence_ns = 0;
    std::uint64_t next_power_ns = 0;
    std::uint64_t quiet_until_ns = 0;       // our own alarms about it are held back
    std::uint64_t distrusted_until_ns = 0;  // it raised a false alarm twice
    std::uint32_t counted_ballot = 0;       // of those on ourselves: its alarms were counted
    std::vector<Opinion> votes;             // of the others, as read last
    std::vector<std::uint64_t> alarms_ns;   // when each of the others accused it falsely; 0: never
  };
  struct Count {
    int guilty = 0;
    int innocent = 0;
    int silent = 0;
    bool decided_guilty = false;
    bool decided_innocent = false;
  };

  Accused& of(CellId cell) { return accused_[static_cast<std::size_t>(cell)]; }
  const Accused& of(CellId cell) const { return accused_[static_cast<std::size_t>(cell)]; }
  Opinion& own(CellId cell) { return own_[static_cast<std::size_t>(cell)]; }
  const Opinion& own(CellId cell) const { return own_[static_cast<std::size_t>(cell)]; }
  std::uint32_t largest_ballot(CellId cell) const;
  void open(CellId cell, std::uint32_t ballot, bool accuser, Hint hint, std::uint64_t now);
  void probe(CellId cell);
  bool is_condemned(CellSet live) const;
  Count count(CellId cell, std::uint32_t ballot, CellSet voters) const;
  bool is_old(const Accused& accused, const Count& votes, std::uint64_t now) const;
  void close_down(CellId cell, CellSet voters, std::uint64_t now);
  void count_alarm(CellId accuser, CellId accused, const Opinion& vote, std::uint64_t now);
  void count_alarms_about_us(std::uint32_t ballot, std::uint64_t now);
  void evaluate_one(CellId cell, CellSet live, std::uint64_t now);
  void contest(CellSet live, std::uint64_t now);

  const CellId self_;
  const BallotTimes times_;
  const BallotSabotage sabotage_;
  std::vector<Accused> accused_;
  std::array<Opinion, max_cells> own_{};
  std::vector<BallotOrder> orders_;
  std::uint32_t voted_down_ = 0;
  std::uint32_t alerts_ = 0;
};

}  // namespace hive::cell
