// The seam between the memory home and borrowed frames that hold anonymous memory which is away
// from its node (docs/files.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <hive/error.h>
#include "cell/frames/cache_frames.h"

namespace hive::cell {

// Numbers as in CacheFrames: all of them are behind those of the node. Any thread. Those that do
// not block may be called under the memory home's mutex.
class AwayFrames {
 public:
  virtual ~AwayFrames() = default;

  // Who hears of recalls and losses of what was taken here; at most one. Null: nobody any more; it
  // returns when the one before is not being told anything.
  virtual void use_owner(FrameReclaimer* owner) = 0;
  // At most so many that are borrowed already and hold nothing. Does not block.
  virtual std::vector<std::uint32_t> take_borrowed(std::uint32_t frames_max) = 0;
  // True: there may be some to take now. Blocks for as long as other cells take to answer.
  virtual bool borrow_more() = 0;
  // What it held is lost, or about to be. Does not block.
  virtual bool is_lost(std::uint32_t frame) const = 0;
  virtual FramePlace place_of(std::uint32_t frame) const = 0;
  // How many were taken and not yet given back. Does not block.
  virtual std::uint64_t taken() const = 0;
  // Their lenders get them back. Does not block.
  virtual void give_back_frames(std::span<const std::uint32_t> frames) = 0;

  // Copies, at an offset of frame number times page_bytes. The owner may hear of a loss meanwhile.
  // Errors: lost.
  virtual Result<void> read_frames(std::uint64_t offset, std::span<std::byte> out) = 0;
  virtual Result<void> write_frames(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
};

}  // namespace hive::cell
