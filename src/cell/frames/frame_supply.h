// Whom a cell asks for memory that has none left, also after its cache has given up what it can.
#pragma once

#include <cstdint>

namespace hive::cell {

class FrameSupply {
 public:
  virtual ~FrameSupply() = default;
  // Makes some frames of this node free: what they hold moves to memory of other cells, or what
  // was lent comes back. False: that was to no avail. Called with no lock of the memory home held,
  // by several threads; may block, but with a bound.
  virtual bool make_room(std::uint32_t frames) = 0;
};

}  // namespace hive::cell
