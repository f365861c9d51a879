#include "cell/borrow/rpc_lenders.h"

#include <algorithm>

#include "base/check.h"
#include "base/safe_copy.h"
#include "base/time.h"

namespace hive::cell {
namespace {

// A lender that has died is known to be off long before.
constexpr std::uint64_t ask_timeout_ns = ns_per_s;

}  // namespace

Result<Loan> RpcLenders::ask(CellId lender, const LoanWish& wish) {
  LendBody body{.ask = wish.ask, .frames_max = wish.frames_max};
  HIVE_CHECK(wish.known.size() <= body.known.size());
  body.known_count = static_cast<std::uint32_t>(wish.known.size());
  std::ranges::copy(wish.known, body.known.begin());
  const auto answer = parts_.rpc.call_for<LoanBody>(lender, op_frames_lend, body, ask_timeout_ns);
  if (!answer) return fail(answer.error());
  if (answer->runs_count > answer->runs.size()) {
    return fail(Code::corrupt, "a loan has more runs than there can be", lender);
  }
  Loan loan;
  loan.number = answer->number;
  for (std::uint32_t i = 0; i < answer->runs_count; ++i) {
    const machine::PageRange run{answer->runs[i].first, answer->runs[i].count};
    if (run.count == 0 || !parts_.layout.has_pages(run)) {
      return fail(Code::corrupt, "a loan has frames that there are not", lender);
    }
    loan.runs.push_back(run);
  }
  for (const machine::PageRange run : loan.runs) {
    if (parts_.map_for_stores(lender, run, true)) continue;
    (void)give_back(lender, loan.number, loan.runs);
    return fail(Code::host, "borrowed frames can not be mapped for stores", lender);
  }
  return loan;
}

Result<void> RpcLenders::hold(CellId lender, std::uint64_t loan, std::span<HeldFrame> frames) {
  HIVE_CHECK(!frames.empty() && frames.size() <= lent_batch_max);
  HoldBody body;
  body.loan = loan;
  body.file = frames[0].file;
  body.page = frames[0].page;
  body.count = static_cast<std::uint32_t>(frames.size());
  for (std::size_t i = 0; i < frames.size(); ++i) body.frames[i] = frames[i].frame;
  const auto answer = parts_.rpc.call_for<HeldBody>(lender, op_frames_hold, body, ask_timeout_ns);
  if (!answer) return fail(answer.error());
  for (std::size_t i = 0; i < frames.size(); ++i) {
    frames[i].sequence = answer->base + answer->over[i];
    if (frames[i].sequence == 0 || frames[i].sequence % 2 != 0) {
      return fail(Code::corrupt, "a lent frame is said to hold a page, and does not", lender);
    }
  }
  return {};
}

Result<std::uint32_t> RpcLenders::change(CellId lender, LentChange what,
                                         const LentFrames& which) {
  HIVE_CHECK(which.frames.size() <= lent_batch_max);
  ChangeBody body;
  body.loan = which.loan;
  body.change = what;
  body.count = static_cast<std::uint32_t>(which.frames.size());
  std::ranges::copy(which.frames, body.frames.begin());
  const auto answer =
      parts_.rpc.call_for<ChangedBody>(lender, op_frames_change, body, ask_timeout_ns);
  if (!answer) return fail(answer.error());
  return answer->done;
}

Result<void> RpcLenders::lose(CellId lender, const LentFrames& which) {
  const auto done = change(lender, LentChange::lose, which);
  if (!done) return fail(done.error());
  return {};
}

Result<std::uint32_t> RpcLenders::renew(CellId lender, const LentFrames& which) {
  return change(lender, LentChange::renew, which);
}

Result<void> RpcLenders::reopen(CellId lender, const LentFrames& which) {
  const auto done = change(lender, LentChange::reopen, which);
  if (!done) return fail(done.error());
  return {};
}

Result<void> RpcLenders::give_back(CellId lender, std::uint64_t loan,
                                   std::span<const machine::PageRange> runs) {
  HIVE_CHECK(runs.size() <= loan_runs_max);
  ReturnBody body;
  for (const machine::PageRange run : runs) (void)parts_.map_for_stores(lender, run, false);
  body.loan = loan;
  body.count = static_cast<std::uint32_t>(runs.size());
  for (std::size_t i = 0; i < runs.size(); ++i) body.runs[i] = {runs[i].first, runs[i].count};
  const auto reply = parts_.rpc.call(lender, op_frames_return,
                                     std::as_bytes(std::span(&body, 1)), ask_timeout_ns);
  if (!reply) return fail(reply.error());
  return {};
}

std::byte* RpcLenders::at(CellId lender, std::uint64_t offset, std::size_t bytes) const {
  const machine::Layout& layout = parts_.layout;
  const bool is_cell = lender >= 0 && lender < static_cast<CellId>(layout.cells);
  if (!is_cell || offset > layout.user_bytes || bytes > layout.user_bytes - offset) return nullptr;
  return reinterpret_cast<std::byte*>(layout.user_begin(lender) + offset);
}

bool RpcLenders::read(CellId lender, std::uint64_t offset, std::span<std::byte> out) {
  const std::byte* from = at(lender, offset, out.size());
  return from != nullptr && safe_copy(out.data(), from, out.size());
}

bool RpcLenders::write(CellId lender, std::uint64_t offset, std::span<const std::byte> bytes) {
  std::byte* to = at(lender, offset, bytes.size());
  return to != nullptr && safe_copy(to, bytes.data(), bytes.size());
}

}  // namespace hive::cell
