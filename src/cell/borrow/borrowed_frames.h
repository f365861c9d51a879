// The frames of a page cache: those of its own node first, and behind them frames that other cells
// have lent, which it uses like its own; and, of these, those that hold anonymous memory which is
// away from the node (away_frames.h).
//
//   BorrowedFrames frames({.self = 1, .own = home, .lenders = &lenders, .node_frames = n,
//                          .slots = n});
//   auto cache = PageCache::create({.frames = &frames, .node_frames = n, .borrowed_frames = n});
//
// To the cache a frame is a number. Those from `node_frames` on are *slots*: places for borrowed
// frames (a slot is the cell's extended pfdat). A slot goes
//   empty -> spare -> taken -> returning -> empty,
// and so each loan brings frames that are zero and held by nobody. What a slot held is lost when
// its lender dies or has taken the frame back; then nothing is asked about it any more, who has it
// is told, and the slot is empty once that has given it back.
//
// INVARIANTS
//  1. A copy goes to or from a frame only while its slot is taken and not lost, and says `lost` if
//     it is not so any more afterwards. Before a frame can be another slot's, or be of the
//     lender's next life, its slot was lost and no copy was under way.
//  2. No lock is held over questions to lenders, copies, or calls of the cache or the memory home.
//     Both may call what does not block with a lock of their own.
//  3. A loan is known to the lender by its number, and here as long as a slot of it is not empty.
//
// Thread-safety: any thread. Lock order: the cache's, the home's, then mutex_; ask_mutex_ (one
// question for a loan at a time, so that they come in order), then mutex_.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/work_pool.h"
#include "cell/borrow/borrow_policy.h"
#include "cell/borrow/lenders.h"
#include "cell/frames/away_frames.h"
#include "cell/frames/cache_frames.h"

namespace hive::cell {

inline constexpr std::uint64_t borrowed_idle_ns = 5 * ns_per_s;
// How long one waits for copies that are under way: of 64 KiB, between two instructions that the
// host holds up.
inline constexpr std::uint64_t copies_wait_ns = ns_per_s;

class BorrowedFrames final : public CacheFrames, public AwayFrames {
 public:
  struct Parts {
    CellId self = -1;
    CacheFrames* own = nullptr;   // outlives it
    Lenders* lenders = nullptr;   // outlives it
    std::uint32_t node_frames = 0;
    std::uint32_t slots = 0;
    std::uint64_t idle_ns = borrowed_idle_ns;  // what nobody used for so long goes back
    std::uint64_t pause_ns = recall_pause_ns;  // who wanted frames back is not asked for so long
    // What this cell has lent comes back before it borrows itself. False: there is none.
    std::function<bool()> recall_lent{};
    // Other memory leaves its frames of the node. False: there is none, or no place for it.
    std::function<bool()> make_room{};
  };
  explicit BorrowedFrames(const Parts& parts);
  ~BorrowedFrames() override { stop(); }
  BorrowedFrames(const BorrowedFrames&) = delete;
  BorrowedFrames& operator=(const BorrowedFrames&) = delete;

  // Nothing is asked of others any more: to them this cell is about to be dead.
  void stop();

  // --- news -------------------------------------------------------------------------------------
  // A lender wants back what it has lent of the range. Does not block.
  void on_recall(CellId lender, machine::PageRange range);
  // Its node is off. What it had lent is lost when this returns; blocks for no longer than copies
  // take that are under way.
  void on_lender_down(CellId lender);
  // About once a second. Does not block.
  void on_tick();

  // Asks the cell with most frames to spare. Returns how many came. Blocks. Errors: exhausted
  // (nobody has any, or there is no slot); those of the lender.
  Result<std::uint32_t> borrow(std::uint32_t frames_max);
  // Gives back what holds nothing. Blocks.
  void return_spare();

  struct Counts {
    std::uint64_t borrowed = 0;  // slots that are not empty
    std::uint64_t spare = 0;     // of these
    std::uint64_t lost = 0;      // so far
    std::uint64_t loans = 0;     // so far
  };
  Counts counts() const;

  // --- for the cache ----------------------------------------------------------------------------
  void use_reclaimer(FrameReclaimer* reclaimer) override;
  std::vector<std::uint32_t> take_frames(std::uint32_t frames_max) override;
  bool are_frames_coming() const override { return parts_.own->are_frames_coming(); }
  bool find_more(bool own_only) override;
  void hold_frames(std::span<HeldFrame> frames) override;
  Result<void> close_frames(std::span<const std::uint32_t> frames) override;
  void lose_frames(std::span<const std::uint32_t> frames) override;
  void renew_frames(std::vector<std::uint32_t>& frames) override;
  FramePlace place_of(std::uint32_t frame) const override;
  void note_refault() override;
  void give_back_frames(std::span<const std::uint32_t> frames) override;
  Result<void> read_frames(std::uint64_t offset, std::span<std::byte> out) override;
  Result<void> write_frames(std::uint64_t offset, std::span<const std::byte> bytes) override;
  Result<void> check_cached(std::span<const HeldFrame> held, std::size_t frames,
                            bool in_transit) const override;

  // --- for anonymous memory that is away --------------------------------------------------------
  void use_owner(FrameReclaimer* owner) override;
  std::vector<std::uint32_t> take_borrowed(std::uint32_t frames_max) override;
  bool borrow_more() override;
  bool is_lost(std::uint32_t frame) const override;
  std::uint64_t taken() const override;

 private:
  using Lock = std::unique_lock<std::mutex>;
  // returning: the lender is to be told; sending: a thread is telling it.
  enum class SlotState : std::uint8_t { empty, spare, taken, returning, sending };
  struct Slot {
    SlotState state = SlotState::empty;
    bool lost = false;
    bool bad = false;   // a question about it failed: it can only be given back
    bool idle = false;  // spare since the last look
    bool away = false;  // taken, and not by the cache
    CellId cell = -1;
    std::uint32_t frame = 0;
    std::uint64_t loan = 0;
  };
  struct OpenLoan {
    std::uint64_t number = 0;
    std::uint32_t slots = 0;
  };
  struct Lender {
    std::uint64_t incarnation = 0;
    bool down = false;
    bool unsure = false;  // an answer was lost: it may have lent what we don't know
    std::uint32_t asks = 0;
    std::uint32_t slots = 0;
    std::uint32_t copies = 0;  // under way
    std::uint64_t not_before_ns = 0;
    std::vector<OpenLoan> loans;
  };
  // Frames that are taken, as those count them who have them.
  struct Taken {
    std::vector<std::uint32_t> cache;
    std::vector<std::uint32_t> away;
  };
  // Slots of one loan, and their frames at the lender.
  struct Group {
    CellId cell = -1;
    std::uint64_t loan = 0;
    std::vector<std::uint32_t> slots;
    std::vector<std::uint32_t> frames;
    LentFrames which() const { return {loan, frames}; }
  };

  bool is_slot(std::uint32_t frame) const { return frame >= parts_.node_frames; }
  static std::uint64_t key_of(CellId cell, std::uint32_t frame) {
    return std::uint64_t{static_cast<std::uint32_t>(cell)} << 32 | frame;
  }
  Lender& lender(CellId cell) { return lenders_[static_cast<std::size_t>(cell)]; }

  // borrowed_frames.cpp
  Result<std::uint32_t> ask(const LenderOffer& offer, std::uint32_t frames_max);
  Result<std::uint32_t> add_loan(const LenderOffer& offer, const Loan& loan,
                                 std::uint32_t frames_max);
  void settle_loans(CellId cell);
  void set_holder(FrameReclaimer*& holder, FrameReclaimer* to);
  bool find_spare(std::uint32_t frames_max);
  std::vector<std::uint32_t> take_spare_locked(std::uint32_t frames_max, bool away);
  void free_slot_locked(std::uint32_t slot);
  void lose_slots_locked(std::span<const std::uint32_t> slots);
  void return_slots();
  bool send_back(Lock& lock, std::uint32_t first, std::set<CellId>& silent);
  void give_up(CellId cell, machine::PageRange range);
  void give_up_idle();
  // Those of the slots that somebody has.
  Taken taken_locked(std::span<const std::uint32_t> slots) const;
  void tell_lost(const Taken& taken);
  void with_reclaimer(const std::function<void(FrameReclaimer&)>& use, bool away = false);
  FrameReclaimer* holder_locked(std::uint32_t slot) const {
    return slots_[slot].away ? owner_ : reclaimer_;
  }
  void post(std::function<void()> work) { (void)pool_.post(std::move(work)); }

  // borrowed_copies.cpp
  std::vector<Group> groups_of(std::span<const std::uint32_t> frames) const;
  void note_failure(const Group& group, const Error& error);
  void hold_group(std::span<HeldFrame> frames);
  Result<void> copy(std::uint64_t offset, std::byte* out, const std::byte* in, std::size_t bytes);
  Result<void> copy_borrowed(std::uint64_t offset, std::byte* out, const std::byte* in,
                             std::size_t bytes);

  const Parts parts_;
  std::mutex ask_mutex_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // All that follows: guarded by mutex_.
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> empty_;      // slots, the lowest last
  std::vector<std::uint32_t> spare_;
  std::vector<std::uint32_t> returning_;
  std::unordered_map<std::uint64_t, std::uint32_t> by_place_;  // not lost: key_of() -> slot
  std::array<Lender, max_cells> lenders_;
  BorrowPolicy policy_;
  Counts counts_;
  FrameReclaimer* reclaimer_ = nullptr;
  FrameReclaimer* owner_ = nullptr;  // of those that are away
  int reclaimer_users_ = 0;   // of both
  std::uint64_t away_ = 0;    // slots that are taken, and not by the cache
  bool borrow_posted_ = false;
  std::uint64_t next_idle_ns_ = 0;
  bool stopped_ = false;
  WorkPool pool_{2, 256};  // one borrows, while the other gives back
};

}  // namespace hive::cell
