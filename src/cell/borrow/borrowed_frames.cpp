// How borrowed frames come.

#include "cell/borrow/borrowed_frames.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "machine/fault_point.h"

namespace hive::cell {

using machine::PageRange;

namespace {

constexpr int lenders_asked_max = 3;
constexpr std::uint64_t refused_pause_ns = ns_per_s;  // then a lender is asked again

// No frame is in it twice.
bool is_plain(const Loan& loan) {
  std::vector<PageRange> runs = loan.runs;
  std::ranges::sort(runs, {}, &PageRange::first);
  for (std::size_t i = 1; i < runs.size(); ++i) {
    if (runs[i].first < runs[i - 1].end()) return false;
  }
  return true;
}

std::uint32_t frames_in(const Loan& loan) {
  std::uint32_t frames = 0;
  for (const PageRange run : loan.runs) frames += run.count;
  return frames;
}

}  // namespace

BorrowedFrames::BorrowedFrames(const Parts& parts) : parts_(parts), slots_(parts.slots) {
  HIVE_CHECK(parts.own != nullptr && parts.lenders != nullptr);
  for (std::uint32_t slot = parts.slots; slot > 0; --slot) empty_.push_back(slot - 1);
}

void BorrowedFrames::stop() {
  {
    const Lock lock(mutex_);
    stopped_ = true;
  }
  pool_.stop();
}

void BorrowedFrames::with_reclaimer(const std::function<void(FrameReclaimer&)>& use, bool away) {
  Lock lock(mutex_);
  FrameReclaimer* const reclaimer = away ? owner_ : reclaimer_;
  if (reclaimer == nullptr) return;
  ++reclaimer_users_;
  lock.unlock();
  use(*reclaimer);
  lock.lock();
  --reclaimer_users_;
  changed_.notify_all();
}

void BorrowedFrames::use_reclaimer(FrameReclaimer* reclaimer) {
  parts_.own->use_reclaimer(reclaimer);
  set_holder(reclaimer_, reclaimer);
}

void BorrowedFrames::use_owner(FrameReclaimer* owner) { set_holder(owner_, owner); }

// The one before is not being told anything any more when it returns.
void BorrowedFrames::set_holder(FrameReclaimer*& holder, FrameReclaimer* to) {
  Lock lock(mutex_);
  holder = to;
  changed_.wait(lock, [&] { return to != nullptr || reclaimer_users_ == 0; });
}

// --- borrowing ----------------------------------------------------------------------------------

Result<std::uint32_t> BorrowedFrames::borrow(std::uint32_t frames_max) {
  const std::scoped_lock one_at_a_time(ask_mutex_);
  std::vector<LenderOffer> offers = parts_.lenders->offers();
  {
    const Lock lock(mutex_);
    if (stopped_ || empty_.empty()) return fail(Code::exhausted, "no place for borrowed frames");
    const auto room = static_cast<std::uint32_t>(empty_.size());
    frames_max = std::min({frames_max, loan_frames_max, room});
    const std::uint64_t now = now_ns();
    std::erase_if(offers, [&](const LenderOffer& offer) {
      if (offer.cell < 0 || offer.cell >= max_cells || offer.cell == parts_.self) return true;
      const Lender& known = lender(offer.cell);
      const bool is_another_life = known.incarnation != offer.incarnation;
      return now < known.not_before_ns || (is_another_life ? known.slots > 0 : known.down);
    });
  }
  Result<std::uint32_t> got = fail(Code::exhausted, "no cell has frames to spare");
  for (int i = 0; i < lenders_asked_max; ++i) {
    const auto chosen = choose_lender(offers, parts_.node_frames);
    if (!chosen) return got;
    const std::uint32_t spare = frames_to_spare(chosen->free_frames, parts_.node_frames);
    got = ask(*chosen, std::min(frames_max, spare));
    if (got) return got;
    std::erase_if(offers, [&](const LenderOffer& offer) { return offer.cell == chosen->cell; });
  }
  return got;
}

// With ask_mutex_.
Result<std::uint32_t> BorrowedFrames::ask(const LenderOffer& offer, std::uint32_t frames_max) {
  LoanWish wish;
  std::vector<std::uint64_t> known;
  {
    const Lock lock(mutex_);
    Lender& from = lender(offer.cell);
    if (from.incarnation != offer.incarnation) {
      from = {};
      from.incarnation = offer.incarnation;
    }
    if (from.loans.size() >= loans_per_borrower_max && frames_max > 0) {
      return fail(Code::exhausted, "the cell has lent us enough", offer.cell);
    }
    for (const OpenLoan& loan : from.loans) known.push_back(loan.number);
    wish = {++from.asks, frames_max, known};
    from.unsure = true;
  }
  const auto loan = parts_.lenders->ask(offer.cell, wish);
  if (loan && frames_max > 0) machine::fault_point(machine::FaultPoint::frame_borrow);
  if (!loan) {
    const Lock lock(mutex_);
    Lender& from = lender(offer.cell);
    // It has refused: then there is none that we don't know of.
    const Code why = loan.error().code;
    if (why == Code::exhausted || why == Code::not_found) from.unsure = false;
    const std::uint64_t pause = std::min(refused_pause_ns, parts_.pause_ns);
    from.not_before_ns = std::max(from.not_before_ns, now_ns() + pause);
    return fail(loan.error());
  }
  return add_loan(offer, *loan, frames_max);
}

Result<std::uint32_t> BorrowedFrames::add_loan(const LenderOffer& offer, const Loan& loan,
                                               std::uint32_t frames_max) {
  const bool makes_sense = frames_in(loan) <= frames_max && is_plain(loan);
  std::vector<std::uint32_t> stale;
  Lock lock(mutex_);
  Lender& from = lender(offer.cell);
  if (!makes_sense || from.incarnation != offer.incarnation || from.down) {
    // What it has lent is unknown to us, and so is ended by the next question.
    from.not_before_ns = now_ns() + parts_.pause_ns;
    return fail(Code::corrupt, "a loan that makes no sense, or of the dead", offer.cell);
  }
  from.unsure = false;
  if (loan.runs.empty()) return 0U;
  // Frames that we believed to have: it has taken them back, and lent them anew.
  for (const PageRange run : loan.runs) {
    for (std::uint32_t frame = run.first; frame < run.end(); ++frame) {
      const auto old = by_place_.find(key_of(offer.cell, frame));
      if (old != by_place_.end()) stale.push_back(old->second);
    }
  }
  const Taken taken = taken_locked(stale);
  lose_slots_locked(stale);
  if (!changed_.wait_for(lock, std::chrono::nanoseconds(copies_wait_ns),
                         [&] { return stale.empty() || from.copies == 0; })) {
    from.unsure = true;
    return fail(Code::busy, "copies of frames take too long", offer.cell);
  }
  if (from.down || from.incarnation != offer.incarnation) {
    return fail(Code::cell_down, "the lender has died", offer.cell);
  }
  std::uint32_t added = 0;
  for (const PageRange run : loan.runs) {
    for (std::uint32_t frame = run.first; frame < run.end() && !empty_.empty(); ++frame) {
      const std::uint32_t slot = empty_.back();
      empty_.pop_back();
      slots_[slot] = {.state = SlotState::spare, .cell = offer.cell, .frame = frame,
                      .loan = loan.number};
      by_place_[key_of(offer.cell, frame)] = slot;
      spare_.push_back(slot);
      ++added;
    }
  }
  from.slots += added;
  from.loans.push_back({loan.number, added});
  counts_.borrowed += added;
  ++counts_.loans;
  lock.unlock();
  tell_lost(taken);
  return added;
}

// An answer was lost: tells the lender which loans there are.
void BorrowedFrames::settle_loans(CellId cell) {
  const std::scoped_lock one_at_a_time(ask_mutex_);
  LenderOffer offer{cell, 0, 0};
  {
    const Lock lock(mutex_);
    if (stopped_ || !lender(cell).unsure || lender(cell).down) return;
    offer.incarnation = lender(cell).incarnation;
  }
  (void)ask(offer, 0);
}

bool BorrowedFrames::find_more(bool own_only) {
  if (parts_.recall_lent && parts_.recall_lent()) return true;
  if (own_only) return parts_.make_room && parts_.make_room();
  return find_spare(borrow_frames_first);
}

bool BorrowedFrames::find_spare(std::uint32_t frames_max) {
  (void)borrow(frames_max);
  const Lock lock(mutex_);
  return !spare_.empty();
}

void BorrowedFrames::note_refault() {
  const Lock lock(mutex_);
  if (!policy_.note_refault(now_ns()) || borrow_posted_ || stopped_ || !spare_.empty()) return;
  const auto room = static_cast<std::uint32_t>(empty_.size());
  const std::uint32_t wanted = policy_.frames_to_ask(now_ns(), room);
  if (wanted == 0) return;
  borrow_posted_ = pool_.post([this, wanted] {
    if (!parts_.recall_lent || !parts_.recall_lent()) (void)borrow(wanted);
    const Lock again(mutex_);
    borrow_posted_ = false;
  });
}

// --- taking -------------------------------------------------------------------------------------

std::vector<std::uint32_t> BorrowedFrames::take_frames(std::uint32_t frames_max) {
  auto frames = parts_.own->take_frames(frames_max);
  if (!frames.empty()) return frames;
  const Lock lock(mutex_);
  return take_spare_locked(frames_max, false);
}

std::vector<std::uint32_t> BorrowedFrames::take_borrowed(std::uint32_t frames_max) {
  const Lock lock(mutex_);
  if (stopped_ || owner_ == nullptr) return {};
  auto frames = take_spare_locked(frames_max, true);
  away_ += frames.size();
  return frames;
}

std::vector<std::uint32_t> BorrowedFrames::take_spare_locked(std::uint32_t frames_max, bool away) {
  std::vector<std::uint32_t> frames;
  while (!spare_.empty() && frames.size() < frames_max) {
    const std::uint32_t slot = spare_.back();
    spare_.pop_back();
    slots_[slot].state = SlotState::taken;
    slots_[slot].away = away;
    frames.push_back(parts_.node_frames + slot);
  }
  return frames;
}

// Who needs much has borrowed much: as many again each time, so that the loans are few.
bool BorrowedFrames::borrow_more() {
  std::uint64_t wanted = 0;
  {
    const Lock lock(mutex_);
    wanted = std::clamp<std::uint64_t>(counts_.borrowed, borrow_frames_first, loan_frames_max);
  }
  return find_spare(static_cast<std::uint32_t>(wanted));
}

bool BorrowedFrames::is_lost(std::uint32_t frame) const {
  const Lock lock(mutex_);
  return slots_.at(frame - parts_.node_frames).lost;
}

std::uint64_t BorrowedFrames::taken() const {
  const Lock lock(mutex_);
  return away_;
}

FramePlace BorrowedFrames::place_of(std::uint32_t frame) const {
  if (!is_slot(frame)) return {parts_.self, frame};
  const Lock lock(mutex_);
  const Slot& slot = slots_.at(frame - parts_.node_frames);
  return {slot.cell, slot.frame};
}

BorrowedFrames::Counts BorrowedFrames::counts() const {
  const Lock lock(mutex_);
  Counts counts = counts_;
  counts.spare = spare_.size();
  return counts;
}

}  // namespace hive::cell
