// Frames that are lent to other cells: invariant 15 (invariants.h).

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "cell/home/home.h"
#include "machine/fault_point.h"
#include "proto/causes.h"

namespace hive::cell {

namespace cause = proto::cause;
using machine::FaultPoint;
using machine::page_bytes;

namespace {

// A server of RPC waits no longer for another one: who asks may ask again.
constexpr std::uint64_t loan_wait_max_ns = 20'000'000;
constexpr char not_lent[] = "the frames are not lent to this cell, or not any more";
constexpr char bad_question[] = "the question about lent frames makes no sense";

}  // namespace

Result<Loan> Home::lend(const Borrower& to, const LoanWish& wish) {
  const bool is_cell = to.cell >= 0 && to.cell < static_cast<CellId>(parts_.layout.cells);
  if (!is_cell || to.cell == parts_.self || wish.frames_max > loan_frames_max ||
      wish.known.size() > loans_per_borrower_max) {
    return fail(Code::bad_argument, bad_question, parts_.self);
  }
  Lock lock(mutex_);
  if (!loans_.take_turn(to, wish.ask)) {
    return fail(Code::busy, "a later question was here before", parts_.self);
  }
  end_unknown_loans_locked(to, wish.known);
  if (wish.frames_max == 0) return Loan{};
  const auto client = kernel_client_locked(to.cell);
  if (!client) return fail(client.error());
  if (frames_.count(FrameState::free) < wish.frames_max) clean_up_locked(lock);
  const std::uint32_t spare =
      frames_to_spare(frames_.count(FrameState::free), parts_.layout.user_pages());
  if (spare == 0) return fail(Code::exhausted, "no frames to spare", parts_.self);
  const auto slot = loans_.begin(to);
  if (!slot) return fail(Code::exhausted, "the cell has too many loans", parts_.self);
  LoanBook::Entry& entry = *loans_.at(*slot);
  std::uint32_t wanted = std::min(wish.frames_max, spare);
  while (wanted > 0 && entry.runs.size() < loan_runs_max) {
    const auto run = frames_.lend(wanted, reclaimed_, to.cell, *slot);
    if (!run) break;
    touched_.assign(*run, true);
    entry.runs.push_back(*run);
    entry.frames += run->count;
    wanted -= run->count;
  }
  Loan loan{entry.number, entry.runs};
  if (loan.runs.empty()) {
    loans_.erase(*slot);
    return fail(Code::exhausted, "no frames to spare", parts_.self);
  }
  entry.busy = true;
  const auto opened = open_lent(lock, *client, loan.runs);
  machine::fault_point(FaultPoint::frame_loan);
  if (!opened) loans_.at(*slot)->ended = loans_.at(*slot)->returns = true;
  if (end_loan_work_locked(*slot) && opened) return loan;
  if (!opened) return fail(opened.error());
  return fail(Code::not_found, not_lent, parts_.self);
}

// Frames whose loan is busy: nobody else changes them.
Result<void> Home::open_lent(Lock& lock, const ClientRef& client,
                             std::span<const PageRange> runs) {
  std::vector<PageCalls::Ticket> tickets;
  for (const PageRange run : runs) tickets.push_back(page_calls_.begin(client->id, run));
  lock.unlock();
  Result<void> opened;
  for (const PageRange run : runs) {
    if (opened) client->space->forget(run);
    if (opened) opened = client->space->open(run);
  }
  lock.lock();
  for (const auto ticket : tickets) end_call_locked(ticket);
  if (!opened) return fail(host_error(opened.error()));
  return {};
}

Result<Home::ClientRef> Home::kernel_client_locked(CellId cell) const {
  // The last one: the end of an earlier incarnation may not have been seen yet.
  for (auto at = clients_.rbegin(); at != clients_.rend(); ++at) {
    const ClientInfo& info = at->second->info;
    if (info.kind == ClientKind::kernel && info.cell == cell) return at->second;
  }
  return fail(Code::not_found, "the kernel of the cell is not attached", parts_.self);
}

// --- the life of a loan -------------------------------------------------------------------------

// The loan is nobody else's until end_loan_work_locked(). Errors: not_found, busy, bad_argument.
Result<std::uint16_t> Home::begin_loan_work(Lock& lock, const Borrower& by, std::uint64_t loan,
                                            std::span<const std::uint32_t> frames) {
  if (frames.empty() || frames.size() > lent_batch_max) {
    return fail(Code::bad_argument, bad_question, parts_.self);
  }
  std::optional<std::uint16_t> slot;
  const bool is_free = calls_done_.wait_for(lock, std::chrono::nanoseconds(loan_wait_max_ns), [&] {
    slot = loans_.find(by, loan);
    return !slot || !loans_.at(*slot)->busy;
  });
  if (!is_free) return fail(Code::busy, cause::pages_in_use, parts_.self);
  if (!slot) return fail(Code::not_found, not_lent, parts_.self);
  for (const std::uint32_t frame : frames) {
    if (!frames_.is_lent(frame, by.cell, *slot)) {
      return fail(Code::not_found, not_lent, parts_.self);
    }
  }
  loans_.at(*slot)->busy = true;
  return *slot;
}

// False: the loan has ended meanwhile.
bool Home::end_loan_work_locked(std::uint16_t slot) {
  LoanBook::Entry& entry = *loans_.at(slot);
  entry.busy = false;
  const bool ended = entry.ended;
  if (entry.returns) free_loan_locked(slot);
  calls_done_.notify_all();
  return !ended;
}

void Home::end_unknown_loans_locked(const Borrower& by, std::span<const std::uint64_t> known) {
  std::vector<std::uint16_t> unknown;
  for (auto& [slot, entry] : loans_.entries()) {
    if (entry.to.cell != by.cell || entry.ended) continue;
    if (std::ranges::find(known, entry.number) == known.end()) unknown.push_back(slot);
  }
  for (const std::uint16_t slot : unknown) {
    LoanBook::Entry& entry = *loans_.at(slot);
    entry.ended = entry.returns = true;
    if (!entry.busy) free_loan_locked(slot);
  }
}

// All that is still lent of it is cleaned. It is not busy.
void Home::free_loan_locked(std::uint16_t slot) {
  const LoanBook::Entry& entry = *loans_.at(slot);
  const std::vector<PageRange> runs = entry.runs;
  const CellId cell = entry.to.cell;
  for (const PageRange run : runs) unlend_locked(run, cell, slot);
}

// Ends the lending of those frames of the range that belong to this loan. The last ones take the
// loan along.
void Home::unlend_locked(PageRange range, CellId cell, std::uint16_t slot) {
  std::uint32_t ended = 0;
  for (std::uint32_t frame = range.first; frame < range.end();) {
    PageRange run{frame, 0};
    while (run.end() < range.end() && frames_.is_lent(run.end(), cell, slot)) ++run.count;
    frame = run.end() + (run.count == 0 ? 1 : 0);
    if (run.count == 0) continue;
    shown_.assign(run, false);
    if (parts_.loans.skip_renewal) {
      frames_.begin_cleaning(run);
      frames_.end_cleaning(run);
    } else {
      begin_cleaning_locked(run);
    }
    ended += run.count;
  }
  LoanBook::Entry* const entry = loans_.at(slot);
  if (entry != nullptr && (entry->frames -= ended) == 0) loans_.erase(slot);
}

// --- on the borrower's word ---------------------------------------------------------------------

Result<void> Home::hold_lent(const Borrower& by, std::uint64_t loan, std::span<HeldFrame> held) {
  std::vector<std::uint32_t> frames;
  for (const HeldFrame& h : held) frames.push_back(h.frame);
  Lock lock(mutex_);
  const auto slot = begin_loan_work(lock, by, loan, frames);
  if (!slot) return fail(slot.error());
  bool makes_sense = true;
  for (std::size_t i = 0; i < held.size(); ++i) {
    const bool is_twice = std::ranges::count(frames, held[i].frame) != 1;
    makes_sense = makes_sense && held[i].file != 0 && !is_twice &&
                  frames_.holds_nothing(held[i].frame);
  }
  if (makes_sense) {
    for (HeldFrame& h : held) h.sequence = frames_.hold(h.frame, h.file, h.page);
  }
  (void)end_loan_work_locked(*slot);
  if (!makes_sense) return fail(Code::bad_argument, bad_question, parts_.self);
  return {};
}

Result<void> Home::lose_lent(const Borrower& by, const LentFrames& which) {
  Lock lock(mutex_);
  const auto slot = begin_loan_work(lock, by, which.loan, which.frames);
  if (!slot) return fail(slot.error());
  for (const std::uint32_t frame : which.frames) frames_.lose({frame, 1});
  (void)end_loan_work_locked(*slot);
  return {};
}

Result<std::uint32_t> Home::renew_lent(const Borrower& by, const LentFrames& which) {
  Lock lock(mutex_);
  const auto client = kernel_client_locked(by.cell);
  if (!client) return fail(client.error());
  const auto slot = begin_loan_work(lock, by, which.loan, which.frames);
  if (!slot) return fail(slot.error());
  std::uint32_t renewed = 0;
  for (std::size_t i = 0; i < which.frames.size(); ++i) {
    const std::uint32_t frame = which.frames[i];
    if (!frames_.holds_nothing(frame)) continue;
    bool good = true;
    if (shown_.test(frame)) {
      good = renew_frame(lock, frame);
      touched_.assign({frame, 1}, true);
      const PageRange range{frame, 1};
      good = good && open_lent(lock, *client, {&range, 1}).has_value();
      if (good) shown_.assign(range, false);
    }
    if (good) renewed |= std::uint32_t{1} << i;
  }
  if (!end_loan_work_locked(*slot)) return fail(Code::not_found, not_lent, parts_.self);
  return renewed;
}

Result<void> Home::reopen_lent(const Borrower& by, const LentFrames& which) {
  Lock lock(mutex_);
  const auto client = kernel_client_locked(by.cell);
  if (!client) return fail(client.error());
  const auto slot = begin_loan_work(lock, by, which.loan, which.frames);
  if (!slot) return fail(slot.error());
  std::vector<PageRange> ranges;
  for (const std::uint32_t frame : which.frames) ranges.push_back({frame, 1});
  const auto opened = open_lent(lock, *client, ranges);
  if (!end_loan_work_locked(*slot)) return fail(Code::not_found, not_lent, parts_.self);
  return opened;
}

Result<void> Home::take_return(const Borrower& by, std::uint64_t loan,
                               std::span<const PageRange> runs) {
  if (runs.size() > loan_runs_max) return fail(Code::bad_argument, bad_question, parts_.self);
  for (const PageRange run : runs) {
    if (!parts_.layout.has_pages(run)) {
      return fail(Code::bad_argument, bad_question, parts_.self);
    }
  }
  Lock lock(mutex_);
  for (const PageRange run : runs) {
    std::optional<std::uint16_t> slot;
    const bool is_free = calls_done_.wait_for(
        lock, std::chrono::nanoseconds(loan_wait_max_ns), [&] {
          slot = loans_.find(by, loan);
          return !slot || !loans_.at(*slot)->busy;
        });
    if (!is_free) return fail(Code::busy, cause::pages_in_use, parts_.self);
    if (!slot) break;  // all of it is back already
    unlend_locked(run, by.cell, *slot);
  }
  calls_done_.notify_all();  // of who has asked for them
  clean_up_locked(lock);
  machine::fault_point(FaultPoint::frame_return);
  return {};
}

// --- taking back --------------------------------------------------------------------------------

void Home::use_recall(RecallFrames recall) {
  const Lock lock(mutex_);
  recall_ = std::move(recall);
}

// Asks the borrowers of what is lent in the range, and takes what is not back in time. False: some
// of it is being worked on still.
bool Home::recall(Lock& lock, PageRange range) {
  CellSet asked;
  for (std::uint32_t frame = range.first; frame < range.end(); ++frame) {
    const CellId cell = frames_.borrower_of(frame);
    if (cell >= 0) asked.add(cell);
  }
  if (asked.empty()) return true;
  const RecallFrames ask = recall_;
  lock.unlock();
  for (CellSet cells = asked; ask && !cells.empty(); cells.remove(cells.lowest())) {
    ask(cells.lowest(), range);
  }
  lock.lock();
  const auto is_all_back = [&] {
    for (std::uint32_t frame = range.first; frame < range.end(); ++frame) {
      if (frames_.borrower_of(frame) >= 0) return false;
    }
    return true;
  };
  if (calls_done_.wait_for(lock, std::chrono::nanoseconds(parts_.loans.recall_ns), is_all_back)) {
    return true;
  }
  machine::fault_point(FaultPoint::frame_take);
  std::vector<std::uint16_t> slots;
  for (const auto& [slot, entry] : loans_.entries()) {
    if (!entry.busy && !entry.ended) slots.push_back(slot);
  }
  for (const std::uint16_t slot : slots) {
    unlend_locked(range, loans_.at(slot)->to.cell, slot);
  }
  return is_all_back();
}

bool Home::recall_lent() {
  Lock lock(mutex_);
  const bool all_back = recall(lock, {0, parts_.layout.user_pages()});
  clean_up_locked(lock);
  return all_back;
}

// --- the borrower dies --------------------------------------------------------------------------

// Nobody reads in them any more what the dead has left there, nor believes it to be of a file.
void Home::close_loans_of(CellId dead) {
  std::vector<PageRange> lent;
  Lock lock(mutex_);
  for (auto& [slot, entry] : loans_.entries()) {
    if (entry.to.cell != dead) continue;
    entry.ended = true;
    for (const PageRange run : entry.runs) {
      for (std::uint32_t frame = run.first; frame < run.end(); ++frame) {
        if (!frames_.is_lent(frame, dead, slot)) continue;
        frames_.lose({frame, 1});
        if (lent.empty() || lent.back().end() != frame) lent.push_back({frame, 0});
        ++lent.back().count;
      }
    }
  }
  lock.unlock();
  // One that is being renewed just now is punched once more.
  take_back(lent);
}

void Home::free_loans_of(CellId dead) {
  const Lock lock(mutex_);
  std::vector<std::uint16_t> over;
  for (auto& [slot, entry] : loans_.entries()) {
    if (entry.to.cell != dead || !entry.ended) continue;
    entry.returns = true;
    if (!entry.busy) over.push_back(slot);
  }
  for (const std::uint16_t slot : over) free_loan_locked(slot);
  calls_done_.notify_all();
}

}  // namespace hive::cell
