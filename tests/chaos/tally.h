// What the victims of a run and its driver (kills_test.py) keep together: a file that all of them
// map, plain Linux memory, which no death takes away. It says what had been committed, so that a
// victim can tell whether what it finds may be there.
//
// Atomics only: whoever stores here may be killed at any instruction.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace hive::chaos {

using Word = std::atomic<std::uint64_t>;

inline constexpr std::size_t tally_slots = 32;
inline constexpr std::size_t tally_areas = 64;
inline constexpr std::size_t tally_locks = 8;
inline constexpr std::size_t tally_turns = 64;

// In the order in which kills_test.py reads it.
struct Tally {
  Word stop;                       // set by the driver: end in good order
  Word next_version;               // no two stores of a run have the same
  Word violations;                 // told in words in the file beside this one
  Word doomed;                     // 1 + the cell that is about to be killed, or 0
  Word ready[tally_slots];         // pid of the victim in that slot, once it works
  Word operations[tally_slots];    // done by it
  Word kinds[16];                  // operations of each kind, in the order of victim.cpp
  Word lost[16];                   // and how many of them met something that a dead task had left
  Word committed[tally_areas];     // highest version that a commit has returned for
  Word resets[tally_areas];        // goes up before an area is reset
  Word holders[tally_locks];       // pid of who has that mutex
  Word announced_ns[tally_turns];  // when the turn of that number, by its rest, was announced
};

// The file is made, or mapped if it is there. Ends the program when it cannot be.
Tally& map_tally(const std::string& path);

// Whether that cell is being killed; a call of a task of it, or about it, may fail.
bool is_doomed(int cell);
// Whether this task belongs to it.
bool am_doomed();

// Counts a violation and says it, in one line, in PATH.violations.
[[gnu::format(printf, 1, 2)]] void violation(const char* format, ...);

}  // namespace hive::chaos
