// The memory test of a node that is started anew: it touches every frame.
#pragma once

#include <cstdint>

#include <hive/error.h>

namespace hive::machine {

struct MemoryTested {
  std::uint64_t bytes = 0;     // tested in one way or the other
  std::uint64_t thorough = 0;  // of these, word by word; of the rest one line of each page
};

// Writes a pattern that differs from word to word, reads it back, does the same with its
// complement, and leaves zeros. What is not tested by deadline_ns is tested more sparsely, so that
// the time has a bound whatever the size. `plant_fault`: one bit falls over between a write and
// the read after it, as in a frame that has gone bad (fault injection).
// Errors: lost (a word did not hold what was written), host.
Result<MemoryTested> test_memory(int memfd, std::uint64_t bytes, std::uint64_t deadline_ns,
                                 bool plant_fault);

}  // namespace hive::machine
