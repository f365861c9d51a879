#include "cell/borrow/lender_service.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

namespace hive::cell {

namespace {

Failure makes_no_sense() { return fail(Code::bad_argument, "the request makes no sense"); }

}  // namespace

void LenderService::serve() {
  RpcEndpoint& rpc = parts_.rpc;
  rpc.serve(op_frames_lend, RpcLevel::queued,
            [this](const RpcRequest& request, RpcReply& reply) { return lend(request, reply); });
  rpc.serve(op_frames_hold, RpcLevel::queued,
            [this](const RpcRequest& request, RpcReply& reply) { return hold(request, reply); });
  rpc.serve(op_frames_change, RpcLevel::queued,
            [this](const RpcRequest& request, RpcReply& reply) { return change(request, reply); });
  rpc.serve(op_frames_return, RpcLevel::queued,
            [this](const RpcRequest& request, RpcReply&) { return take_return(request); });
  rpc.serve(op_frames_recall, RpcLevel::queued,
            [this](const RpcRequest& request, RpcReply&) -> Result<void> {
              RunBody run;
              if (!request.get(run)) return makes_no_sense();
              parts_.on_recall(request.from, {run.first, run.count});
              return {};
            });
}

void LenderService::recall(CellId borrower, machine::PageRange range) {
  const RunBody run{range.first, range.count};
  // One that does not hear it loses them all the same.
  (void)parts_.rpc.send_one_way(borrower, op_frames_recall, std::as_bytes(std::span(&run, 1)));
}

Result<Borrower> LenderService::borrower_of(const RpcRequest& request) const {
  const auto incarnation = parts_.incarnation_of(request.from);
  if (!incarnation) return fail(Code::refused, "the cell is not one of the live ones");
  return Borrower{request.from, *incarnation};
}

Result<void> LenderService::lend(const RpcRequest& request, RpcReply& reply) {
  LendBody body;
  if (!request.get(body) || body.known_count > body.known.size()) return makes_no_sense();
  if (!parts_.lends()) return fail(Code::exhausted, "the cell is about to end");
  const auto borrower = borrower_of(request);
  if (!borrower) return fail(borrower.error());
  const auto loan = parts_.lender.lend(
      *borrower, {body.ask, body.frames_max, std::span(body.known).first(body.known_count)});
  if (!loan) return fail(loan.error());
  LoanBody answer;
  answer.number = loan->number;
  answer.runs_count = static_cast<std::uint32_t>(loan->runs.size());
  for (std::size_t i = 0; i < loan->runs.size(); ++i) {
    answer.runs[i] = {loan->runs[i].first, loan->runs[i].count};
  }
  reply.set(answer);
  return {};
}

Result<void> LenderService::hold(const RpcRequest& request, RpcReply& reply) {
  HoldBody body;
  if (!request.get(body) || body.count == 0 || body.count > body.frames.size()) {
    return makes_no_sense();
  }
  const auto borrower = borrower_of(request);
  if (!borrower) return fail(borrower.error());
  std::vector<HeldFrame> held;
  for (std::uint32_t i = 0; i < body.count; ++i) {
    held.push_back({body.frames[i], body.page + i, body.file, 0});
  }
  if (auto done = parts_.lender.hold_lent(*borrower, body.loan, held); !done) return done;
  HeldBody answer;
  answer.base = std::ranges::min_element(held, {}, &HeldFrame::sequence)->sequence;
  for (std::size_t i = 0; i < held.size(); ++i) {
    const std::uint64_t over = held[i].sequence - answer.base;
    // It would take years.
    if (over > std::numeric_limits<std::uint32_t>::max()) {
      return fail(Code::exhausted, "the numbers of the frames are too far apart");
    }
    answer.over[i] = static_cast<std::uint32_t>(over);
  }
  reply.set(answer);
  return {};
}

Result<void> LenderService::change(const RpcRequest& request, RpcReply& reply) {
  ChangeBody body;
  if (!request.get(body) || body.count > body.frames.size()) return makes_no_sense();
  const auto borrower = borrower_of(request);
  if (!borrower) return fail(borrower.error());
  const LentFrames which{body.loan, std::span(body.frames).first(body.count)};
  ChangedBody answer;
  Result<void> done = makes_no_sense();
  if (body.change == LentChange::lose) {
    done = parts_.lender.lose_lent(*borrower, which);
  } else if (body.change == LentChange::reopen) {
    done = parts_.lender.reopen_lent(*borrower, which);
  } else if (body.change == LentChange::renew) {
    const auto renewed = parts_.lender.renew_lent(*borrower, which);
    done = renewed ? Result<void>() : Result<void>(fail(renewed.error()));
    answer.done = renewed ? *renewed : 0;
  }
  if (!done) return done;
  reply.set(answer);
  return {};
}

Result<void> LenderService::take_return(const RpcRequest& request) {
  ReturnBody body;
  if (!request.get(body) || body.count > body.runs.size()) return makes_no_sense();
  const auto borrower = borrower_of(request);
  if (!borrower) return fail(borrower.error());
  std::vector<machine::PageRange> runs;
  for (std::uint32_t i = 0; i < body.count; ++i) {
    runs.push_back({body.runs[i].first, body.runs[i].count});
  }
  return parts_.lender.take_return(*borrower, body.loan, runs);
}

}  // namespace hive::cell
