// What a survivor sees of the death of a cell.
#pragma once

namespace bench {

// Uses its own cell and each of the others in turn, for so long. Prints the longest time between
// two rounds, and when the first and the last one were, in nanoseconds of the monotonic clock.
// Returns the exit status.
int witness(int ms);

// Keeps a processor busy, for so long.
int spin(int ms);

}  // namespace bench
