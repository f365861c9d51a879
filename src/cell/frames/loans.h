// The seam between the memory home, which lends frames of its node out, and the cells that borrow
// them: what a borrower asks of a lender, whichever way the question comes.
//
// A *loan* is what one question got: some runs of frames, under a number that the lender uses
// once. Every later question names it, so that one about frames which were lent anew meanwhile, to
// the same cell or to another, finds nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <hive/error.h>
#include "base/ids.h"
#include "cell/frames/cache_frames.h"
#include "machine/layout.h"

namespace hive::cell {

inline constexpr std::size_t loan_runs_max = 8;
inline constexpr std::uint32_t loan_frames_max = 1024;   // of one loan: 4 MiB
inline constexpr std::size_t loans_per_borrower_max = 8;  // with one lender
inline constexpr std::size_t lent_batch_max = 16;         // frames that one question is about
inline constexpr std::uint64_t recall_max_ns = 1'000'000'000;  // then lent frames are taken back

struct LoanRules {
  std::uint64_t recall_ns = recall_max_ns;
  // What a test turns off, to see that it is needed.
  bool skip_renewal = false;  // frames serve others as they came back
  bool skip_closing = false;  // the lender's kernel copies into what it has lent
};

struct Borrower {
  CellId cell = -1;
  std::uint64_t incarnation = 0;
};

struct LoanWish {
  std::uint32_t ask = 0;  // goes up with each question: one that comes late is refused
  std::uint32_t frames_max = 0;  // 0: it only names the loans that it knows
  std::span<const std::uint64_t> known;  // loans of this borrower; others are ended
};

struct Loan {
  std::uint64_t number = 0;
  std::vector<machine::PageRange> runs;
};

// Frames of one loan.
struct LentFrames {
  std::uint64_t loan = 0;
  std::span<const std::uint32_t> frames;  // at most lent_batch_max
};

// Asks a borrower for what it has of the range. Must not block.
using RecallFrames = std::function<void(CellId borrower, machine::PageRange range)>;

// How many frames a borrower may have of a cell with so many free ones: the rest is for its own.
constexpr std::uint32_t frames_to_spare(std::uint64_t free_frames, std::uint64_t node_frames) {
  const std::uint64_t kept = node_frames / 8;
  return static_cast<std::uint32_t>(free_frames > kept ? free_frames - kept : 0);
}

// The lender's side. Any thread; all may block for as long as page tables do. Errors of all:
// bad_argument (the question makes no sense), and not_found (this cell has not lent it that: it
// may have taken it back).
class FrameLender {
 public:
  virtual ~FrameLender() = default;

  // Frames that are zero, open to the borrower's kernel and closed to everybody else. Errors:
  // exhausted (none to spare, or too many loans), busy (a later question was here already), host.
  virtual Result<Loan> lend(const Borrower& to, const LoanWish& wish) = 0;
  // As CacheFrames::hold_frames, for frames that hold nothing.
  virtual Result<void> hold_lent(const Borrower& by, std::uint64_t loan,
                                 std::span<HeldFrame> frames) = 0;
  // As CacheFrames::lose_frames.
  virtual Result<void> lose_lent(const Borrower& by, const LentFrames& which) = 0;
  // As CacheFrames::renew_frames; a bit for each frame that nobody but the borrower has any more.
  virtual Result<std::uint32_t> renew_lent(const Borrower& by, const LentFrames& which) = 0;
  // The borrower's kernel misses pages that should be open to it: Linux may have reclaimed them.
  virtual Result<void> reopen_lent(const Borrower& by, const LentFrames& which) = 0;
  // They come back, and are renewed. What is not of this loan any more is passed over.
  virtual Result<void> take_return(const Borrower& by, std::uint64_t loan,
                                   std::span<const machine::PageRange> runs) = 0;
};

}  // namespace hive::cell
