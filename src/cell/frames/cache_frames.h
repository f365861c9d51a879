// The seam between the page cache of a data home and the memory home of its node, which shares the
// frames out between segments and files.
//
// Neither calls the other with a lock of its own held, but for check_frames(), which the cache
// calls under its lock. So the memory home must never call a reclaimer under its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <hive/error.h>
#include "base/ids.h"
#include "machine/layout.h"

namespace hive::cell {

struct HeldFrame {
  std::uint32_t frame = 0;
  std::uint32_t page = 0;  // of the file
  std::uint64_t file = 0;
  std::uint64_t sequence = 0;
};

// Where a frame of the cache is, if it is borrowed.
struct FramePlace {
  CellId home = -1;  // whose node it is of: its memory home
  std::uint32_t frame = 0;
};

// Frames that the cache has are its own: the memory home does nothing with them unless told. A
// frame is renewed in this order: it holds a page; lose_frames(); renew_frames(); new content is
// written; hold_frames().
class FrameReclaimer;

class CacheFrames {
 public:
  virtual ~CacheFrames() = default;

  // Whom to ask when no frames are free; at most one at a time. Null: nobody any more; it returns
  // when the one before is not being asked any more, and no check of it may be under way.
  virtual void use_reclaimer(FrameReclaimer* reclaimer) = 0;

  // At most so many that were free; they hold nothing yet. Empty: none is. May block for as long
  // as freed memory takes to be cleaned.
  virtual std::vector<std::uint32_t> take_frames(std::uint32_t frames_max) = 0;
  // Some that are not free now will be before long, so that one may wait for them.
  virtual bool are_frames_coming() const = 0;
  // None are to be had, and more are wanted badly: true when there may be some now. `own_only`: of
  // the node itself. May block for as long as another cell takes to answer.
  virtual bool find_more(bool own_only) {
    (void)own_only;
    return false;
  }
  // They hold these pages from now on; writes the sequence numbers that say so. 0: a borrowed one
  // does not, and can only be given back.
  virtual void hold_frames(std::span<HeldFrame> frames) = 0;
  // No store through a mapping gets into them after it returns, until they are opened anew. May
  // block. Errors: host (some may be open still).
  virtual Result<void> close_frames(std::span<const std::uint32_t> frames) = 0;
  // They hold nothing any more: from now on no reader of the old numbers believes what it copied.
  virtual void lose_frames(std::span<const std::uint32_t> frames) = 0;
  // Nobody has them in a page table any more when it returns. What can't be renewed just now is
  // struck from the list, and can only be given back. May block.
  virtual void renew_frames(std::vector<std::uint32_t>& frames) = 0;
  // Frames with numbers behind those of the node are borrowed; this is where they are.
  virtual FramePlace place_of(std::uint32_t frame) const { return {-1, frame}; }
  // A page is wanted again that had to leave a moment ago. Does not block.
  virtual void note_refault() {}
  // The cache needs them no more.
  virtual void give_back_frames(std::span<const std::uint32_t> frames) = 0;

  // Copies, at an offset from the beginning of user memory. Errors: lost, host.
  virtual Result<void> read_frames(std::uint64_t offset, std::span<std::byte> out) = 0;
  virtual Result<void> write_frames(std::uint64_t offset, std::span<const std::byte> bytes) = 0;

  // That the books of both agree: that these frames hold these pages, and that the cache has
  // `frames` in all, unless some are `in_transit`. Errors: corrupt.
  virtual Result<void> check_cached(std::span<const HeldFrame> held, std::size_t frames,
                                    bool in_transit) const = 0;
};

// Who has frames to give when none are free. Called with no lock of the memory home held, by one
// thread at a time; while it runs, nothing in the range is given to the cache.
class FrameReclaimer {
 public:
  virtual ~FrameReclaimer() = default;
  // Gives all its frames in the range back, after having written what is dirty. False: some can't
  // be, or take too long. May block for as long as the disk does, but for that with a bound.
  virtual bool reclaim(machine::PageRange range) = 0;
  // What these frames held is lost, now or in a moment; it gives them back. Does not block.
  virtual void lose(std::span<const std::uint32_t> frames) { (void)frames; }
  // Gives those frames of the range back that were not used since it was asked last, and whose
  // page is on the disk.
  virtual void give_up_idle(machine::PageRange range) { (void)range; }
  // Its own books. Errors: corrupt.
  virtual Result<void> check() const = 0;
};

}  // namespace hive::cell
