// When a cell borrows frames, of whom, and how many: functions of numbers, without time or I/O of
// their own.
//
// A cache is content with all frames of its node, so that none are free says nothing. What says
// that they do not suffice is a *refault*: a page that was cached until a moment ago, had to go
// for another one, and is wanted again. A file that is read once from end to end causes none.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/time.h"
#include "cell/borrow/lenders.h"

namespace hive::cell {

inline constexpr std::uint32_t refaults_to_borrow = 64;         // within refault_period_ns
inline constexpr std::uint64_t refault_period_ns = ns_per_s;
inline constexpr std::uint32_t borrow_frames_first = 128;       // half a MiB; then twice as many
inline constexpr std::uint32_t borrow_frames_min = 16;          // fewer are not worth the question
inline constexpr std::uint64_t recall_pause_ns = 5 * ns_per_s;
// Not thread-safe.
class BorrowPolicy {
 public:
  // A page that had to go was wanted again. True: it is time to borrow.
  bool note_refault(std::uint64_t now_ns);
  // How many frames to ask for: more each time that it is time again soon, none beyond `room`.
  std::uint32_t frames_to_ask(std::uint64_t now_ns, std::uint32_t room);

 private:
  std::uint64_t period_began_ns_ = 0;
  std::uint32_t refaults_ = 0;
  std::uint64_t asked_ns_ = 0;
  std::uint32_t asked_ = 0;
};

// The one with most frames to spare, if it is worth it. `node_frames` of each of them.
std::optional<LenderOffer> choose_lender(std::span<const LenderOffer> offers,
                                         std::uint32_t node_frames);

}  // namespace hive::cell
