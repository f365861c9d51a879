// The board of a cell: what it says about the live set, in its kernel memory, for all others to
// read. There are no messages in agreement: a cell that reads late reads the latest.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "base/ids.h"
#include "cell/member/view.h"

namespace hive::cell {

// How far a cell is with the recovery of the view that it shows.
enum class Phase : std::uint32_t {
  joining,     // not a member yet: waits to be taken in
  closing,     // takes back what the dead could write
  closed,      // barrier 1
  discarding,  // frees what was taken back
  discarded,   // barrier 2
  settled,     // goes on
  count_
};
const char* phase_name(Phase phase);

// Why a cell is suspected.
enum class Hint : std::uint8_t {
  none,
  lifeline,      // its kernel has died, its power is still on
  clock,         // its clock word stands still
  rpc,           // a call timed out
  bus_error,     // its memory can not be read
  corrupt,       // a check on its data failed
  garbage,       // a burst of rejected messages
  barrier,       // recovery waits for it
  false_alarms,  // it accused others twice, and was voted down
  order,         // somebody with a right to it wants the node off
  count_
};
const char* cause_of(Hint hint);  // in words: "its kernel died"

enum class Verdict : std::uint8_t {
  none,  // still looking
  innocent,
  guilty,
  decided_innocent,  // of the holder of the fence lock: final
  decided_guilty,
  count_
};
const char* verdict_name(Verdict verdict);

// What a cell says about another on one numbered ballot. Once it is not `none` it changes only to
// a decision, and a decision never changes.
struct Opinion {
  std::uint32_t ballot = 0;  // see first_ballot(); 0: there was none yet
  Verdict verdict = Verdict::none;
  Hint hint = Hint::none;
  std::uint8_t accuser = 0;  // 1: opened the ballot
  std::uint8_t closed = 0;   // 1: takes it for voted down; who comes now does not take it up
  bool operator==(const Opinion&) const = default;
};
static_assert(std::has_unique_object_representations_v<Opinion>);

// Numbers of ballots on a node begin anew, and higher, with each of its lives, so that what was
// said about a former life says nothing about this one.
inline constexpr int ballot_bits = 12;
constexpr std::uint32_t first_ballot(Life life) { return life << ballot_bits; }
constexpr Life life_of_ballot(std::uint32_t ballot) { return ballot >> ballot_bits; }

struct Board {
  View view;
  Phase phase = Phase::settled;
  std::uint32_t progress = 0;  // grows while a phase of long work goes on
  std::array<Opinion, max_cells> opinions{};

  // Boards are compared whenever one is read: as bytes, which is many times faster.
  bool operator==(const Board& other) const {
    return std::memcmp(this, &other, sizeof *this) == 0;
  }

  const Opinion& opinion(CellId on) const { return opinions[static_cast<std::size_t>(on)]; }
  Opinion& opinion(CellId on) { return opinions[static_cast<std::size_t>(on)]; }
};
static_assert(std::has_unique_object_representations_v<Board>);

}  // namespace hive::cell
