#include "cell/borrow/borrow_policy.h"

#include <algorithm>

namespace hive::cell {

bool BorrowPolicy::note_refault(std::uint64_t now_ns) {
  if (now_ns > period_began_ns_ + refault_period_ns) {
    period_began_ns_ = now_ns;
    refaults_ = 0;
  }
  if (++refaults_ < refaults_to_borrow) return false;
  refaults_ = 0;
  return true;
}

std::uint32_t BorrowPolicy::frames_to_ask(std::uint64_t now_ns, std::uint32_t room) {
  const bool is_again = asked_ > 0 && now_ns < asked_ns_ + 2 * refault_period_ns;
  asked_ = is_again ? std::min(asked_ * 2, loan_frames_max) : borrow_frames_first;
  asked_ns_ = now_ns;
  return std::min(asked_, room);
}

std::optional<LenderOffer> choose_lender(std::span<const LenderOffer> offers,
                                         std::uint32_t node_frames) {
  std::optional<LenderOffer> best;
  for (const LenderOffer& offer : offers) {
    if (offer.free_frames > node_frames) continue;  // it can't have so many
    if (!best || offer.free_frames > best->free_frames) best = offer;
  }
  const bool is_worth_it =
      best && frames_to_spare(best->free_frames, node_frames) >= borrow_frames_min;
  return is_worth_it ? best : std::nullopt;
}

}  // namespace hive::cell
