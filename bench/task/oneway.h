// A record's way from one cell to another.
#pragma once

#include <array>

namespace bench {

// One of the two components of a spanning task: two rings, one each way, and a record that goes
// there and back. The first component prints half of what that takes, in nanoseconds. Returns the
// exit status.
int oneway(bool asleep, int count, std::array<int, 2> processors);

}  // namespace bench
