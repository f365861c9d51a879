// The seam between what a cell does with borrowed frames and the cells that lend them: RPC and
// loads and stores on a machine (rpc_lenders.h), a home next door in tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <hive/error.h>
#include "base/ids.h"
#include "cell/frames/loans.h"

namespace hive::cell {

// What a live cell says of its memory: nobody has checked it but for being possible.
struct LenderOffer {
  CellId cell = -1;
  std::uint64_t incarnation = 0;
  std::uint32_t free_frames = 0;
};

// Any thread. Errors of all calls: those of FrameLender, and cell_down, timed_out (it may have
// been done), corrupt.
class Lenders {
 public:
  virtual ~Lenders() = default;
  // Does not block.
  virtual std::vector<LenderOffer> offers() const = 0;
  virtual Result<Loan> ask(CellId lender, const LoanWish& wish) = 0;
  // At most lent_batch_max, of one file, whose pages follow one another.
  virtual Result<void> hold(CellId lender, std::uint64_t loan, std::span<HeldFrame> frames) = 0;
  virtual Result<void> lose(CellId lender, const LentFrames& which) = 0;
  virtual Result<std::uint32_t> renew(CellId lender, const LentFrames& which) = 0;
  virtual Result<void> reopen(CellId lender, const LentFrames& which) = 0;
  virtual Result<void> give_back(CellId lender, std::uint64_t loan,
                                 std::span<const machine::PageRange> runs) = 0;
  // Copies out of and into frames of the lender's node that are open to this kernel, at an offset
  // from the beginning of its user memory. False: some of it is not there.
  virtual bool read(CellId lender, std::uint64_t offset, std::span<std::byte> out) = 0;
  virtual bool write(CellId lender, std::uint64_t offset, std::span<const std::byte> bytes) = 0;
};

}  // namespace hive::cell
