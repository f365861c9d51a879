// The memory of a ring (hive/ring.h), from its offset on:
//     0  magic, bytes of a record, capacity      set by create(), then constant
//    64  generation, published, claimed
//   128  the records, close to each other; number n lies at n mod capacity
//
// Invariants, as any reader sees them:
// 1. published <= claimed <= published + capacity. Both only go up.
// 2. A record below `published` is complete.
// 3. A place is overwritten only by a record below `claimed`.
// 4. Records at or above claimed - capacity are as they were published.
// The generation is the time of create() in nanoseconds, and 0 while create() works.
#pragma once

#include <cstdint>

#include <hive/ring.h>
#include "lib/segment_impl.h"

namespace hive::lib {

inline constexpr std::uint64_t ring_magic = 0x0167'6e69'7276'6948;  // "Hivring", layout 1
inline constexpr std::uint64_t ring_at_generation = 64;
inline constexpr std::uint64_t ring_at_published = 72;
inline constexpr std::uint64_t ring_at_claimed = 80;

struct RingHead {
  std::uint64_t magic = 0;
  std::uint64_t record_bytes = 0;
  std::uint64_t capacity = 0;
};

// Errors: bad_argument.
Result<void> check_ring_place(const SegmentImpl& segment, std::uint64_t offset,
                              std::uint64_t record_bytes, std::uint64_t capacity);
// Checks what is there. Errors: not_found, corrupt, those of SegmentImpl::read.
Result<RingHead> read_ring_head(const SegmentImpl& segment, std::uint64_t offset,
                                std::uint64_t record_bytes);

}  // namespace hive::lib
