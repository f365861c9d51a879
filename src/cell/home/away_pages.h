// Anonymous memory that is away from its node, in frames that other cells have lent
// (docs/files.md, "Anonymous memory that is away"): the half of the home that moves it there and
// back.
//
//   AwayPages away(home, borrowed);  // from now on memory moves away when the home has none left
//
// INVARIANTS
//  1. A page of a view is in a frame of the node, or away, or lost, or was never touched. While
//     its block says that it is moving it may be in two places; it is in the hands of one thread
//     then, which alone gives back the frames that it leaves, and nobody brings it in.
//  2. A page counts as away only after it was closed to its task, then copied, then taken from its
//     task, so that nobody can load what is there no more.
//  3. Every borrowed frame that is taken is either in the book, with the page that it holds or is
//     about to hold, or idle. All of a page is written before it is read.
//
// Thread-safety: any thread. What is named _locked, or takes a lock, is the home's own, with its
// mutex, which those with a lock release for a while. Frames are copied, and cells asked, with no
// lock held.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include <hive/error.h>
#include "cell/frames/away_frames.h"
#include "cell/home/home.h"

namespace hive::cell {

// Borrowed frames that are kept for what comes back: a block of it can always change places with
// another one.
inline constexpr std::uint32_t away_reserve = proto::view_block_pages;

// What a test turns off, to see that it is needed.
struct AwayRules {
  bool skip_closing = false;  // pages are copied while their task may store to them
  bool skip_punch = false;    // frames serve others while the task still has them
};

class AwayPages final : public FrameReclaimer {
 public:
  using Lock = std::unique_lock<std::mutex>;
  using Block = home::BlockName;

  // Both outlive it. When it ends no call of a client is under way in the home.
  AwayPages(Home& home, AwayFrames& frames, AwayRules rules = {});
  ~AwayPages() override;
  AwayPages(const AwayPages&) = delete;
  AwayPages& operator=(const AwayPages&) = delete;

  struct Counts {
    std::uint64_t away = 0;         // pages
    std::uint64_t moved_away = 0;   // so far
    std::uint64_t came_back = 0;    // so far
    std::uint64_t lost = 0;         // so far
  };
  Counts counts() const;

  // --- of what is borrowed here ----------------------------------------------------------------
  // The pages in these frames move to the own node, or to other cells. Blocks for as long as these
  // take to answer, with a bound.
  bool reclaim(machine::PageRange range) override;
  void lose(std::span<const std::uint32_t> frames) override;
  void give_up_idle(machine::PageRange range) override;
  Result<void> check() const override;

  // --- for the home -----------------------------------------------------------------------------
  // A block that has waited longest moves away. `comes_back`: for a page that is away itself.
  // False: that was to no avail.
  bool make_room(Lock& lock, bool comes_back);
  // The same for others who need frames of the node. With no lock.
  bool make_room();
  // Some pages are moving: frames will be free before long.
  bool is_busy_locked() const { return movers_ > 0; }
  // Waits until nothing of the block is moving, with a bound. False: it is.
  bool wait_until_settled(Lock& lock, const Block& block);
  static bool is_to_fetch(const home::ViewPages& block) {
    for (std::uint32_t i = 0; i < proto::view_block_pages; ++i) {
      if (block.frames[i] != home::none && block.away[i] != home::none) return true;
    }
    return false;
  }
  // Fills those frames of the block whose pages are away. Errors: not_found (the view is gone),
  // host. What is lost is noted in the block.
  Result<void> fetch(Lock& lock, const Block& block);
  // The block has frames of the node.
  void brought_in_locked(const Block& name, home::ViewPages& block);
  // The view ends.
  void drop_locked(home::ViewPages& block);
  Result<void> check_locked() const;

 private:
  using PageRange = machine::PageRange;
  // Frames as AwayFrames counts them: those of the node first.
  struct Move {
    std::uint32_t index = 0;  // of the page in its block
    std::uint32_t from = 0;
    std::uint32_t to = 0;
  };
  struct Page {
    Block block;
    std::uint32_t index = 0;
  };
  struct Run {
    PageRange frames;
    bool renewed = false;
  };

  bool is_borrowed(std::uint32_t frame) const { return frame >= node_frames_; }
  home::ViewPages* find_locked(const Block& name) const;
  std::optional<Block> next_locked() const;
  void leave_turn_locked(home::ViewPages& block);
  std::vector<std::uint32_t> take_slots_locked(std::size_t count, bool comes_back);
  // One that is not of this lender.
  std::optional<std::uint32_t> take_slot_locked(CellId not_of);
  void put_idle_locked(std::uint32_t slot);
  void give_back_locked(std::uint32_t slot);
  void give_idle_back_locked(PageRange range);
  void release_if_idle_locked();
  void lose_page_locked(home::ViewPages& block, std::uint32_t index, std::uint32_t slot);

  bool move_away(Lock& lock, const Block& name, std::span<const std::uint32_t> slots);
  bool close_pages(const home::Client& client, std::span<const home::ShownRun> runs) const;
  void renew(std::span<Run> runs, std::span<const std::shared_ptr<ClientSpace>> spaces) const;
  bool move_elsewhere(Lock& lock, const Block& name, PageRange recalled, std::uint32_t wanted);
  void begin_locked(const Block& name, home::ViewPages& block, std::span<const Move> moves);
  std::uint32_t carry(Lock& lock, const Block& name, home::ViewPages& block,
                      std::span<const Move> moves);
  std::uint32_t copy(std::span<const Move> moves) const;
  bool copy_run(std::span<const Move> moves, std::vector<std::byte>& buffer) const;
  Result<void> end_locked(const Block& name, std::span<const Move> moves, std::uint32_t failed,
                          bool recalled);

  Home& home_;
  AwayFrames& frames_;
  const AwayRules rules_;
  const std::uint32_t node_frames_;
  // All that follows: guarded by the home's mutex.
  std::map<std::uint64_t, Block> turns_;       // blocks with frames of the node, by age
  std::map<std::uint32_t, Page> book_;         // by borrowed frame
  std::set<std::uint32_t> idle_;               // borrowed frames that hold nothing
  bool idle_used_ = false;                     // since the last look
  std::uint64_t last_turn_ = 0;
  std::uint32_t movers_ = 0;                   // threads at work
  Counts counts_;
};

}  // namespace hive::cell
