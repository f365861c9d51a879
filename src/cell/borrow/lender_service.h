// The lender's ear: questions of other cells about frames of this node (loan_messages.h), and its
// voice when it wants them back.
#pragma once

#include <functional>
#include <optional>

#include "cell/borrow/loan_messages.h"
#include "cell/rpc/rpc_endpoint.h"

namespace hive::cell {

class LenderService {
 public:
  struct Parts {
    FrameLender& lender;
    RpcEndpoint& rpc;
    // Which life of a live cell asks. None: nobody from whom a question may come.
    std::function<std::optional<std::uint64_t>(CellId)> incarnation_of;
    std::function<bool()> lends;  // false: this cell is about to end, and lends nothing any more
    std::function<void(CellId lender, machine::PageRange range)> on_recall;  // must not block
  };
  explicit LenderService(Parts parts) : parts_(std::move(parts)) {}

  void serve();  // before rpc.start()
  // Asks a borrower for what it has of the range. Any thread; does not wait for an answer.
  void recall(CellId borrower, machine::PageRange range);

 private:
  Result<Borrower> borrower_of(const RpcRequest& request) const;
  Result<void> lend(const RpcRequest& request, RpcReply& reply);
  Result<void> hold(const RpcRequest& request, RpcReply& reply);
  Result<void> change(const RpcRequest& request, RpcReply& reply);
  Result<void> take_return(const RpcRequest& request);

  const Parts parts_;
};

}  // namespace hive::cell
