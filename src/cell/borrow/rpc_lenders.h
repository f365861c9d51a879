// Lenders on a machine: RPC for questions, this kernel's mapping of their nodes for content.
#pragma once

#include <functional>
#include <vector>

#include "cell/borrow/lenders.h"
#include "cell/borrow/loan_messages.h"
#include "cell/rpc/rpc_endpoint.h"
#include "machine/layout.h"

namespace hive::cell {

class RpcLenders final : public Lenders {
 public:
  struct Parts {
    const machine::Layout& layout;
    RpcEndpoint& rpc;
    std::function<std::vector<LenderOffer>()> offers;  // does not block
    // This kernel's mapping of these pages takes stores from now on, or none any more
    // (Fence::begin_stores). False: Linux refuses.
    std::function<bool(CellId lender, machine::PageRange run, bool on)> map_for_stores;
  };
  explicit RpcLenders(Parts parts) : parts_(std::move(parts)) {}

  std::vector<LenderOffer> offers() const override { return parts_.offers(); }
  Result<Loan> ask(CellId lender, const LoanWish& wish) override;
  Result<void> hold(CellId lender, std::uint64_t loan, std::span<HeldFrame> frames) override;
  Result<void> lose(CellId lender, const LentFrames& which) override;
  Result<std::uint32_t> renew(CellId lender, const LentFrames& which) override;
  Result<void> reopen(CellId lender, const LentFrames& which) override;
  Result<void> give_back(CellId lender, std::uint64_t loan,
                         std::span<const machine::PageRange> runs) override;
  bool read(CellId lender, std::uint64_t offset, std::span<std::byte> out) override;
  bool write(CellId lender, std::uint64_t offset, std::span<const std::byte> bytes) override;

 private:
  Result<std::uint32_t> change(CellId lender, LentChange what, const LentFrames& which);
  // Null: there are no such bytes in the lender's user memory.
  std::byte* at(CellId lender, std::uint64_t offset, std::size_t bytes) const;

  const Parts parts_;
};

}  // namespace hive::cell
