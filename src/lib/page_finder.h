// Where a page of a file lies, as its data home publishes it (proto/pages.h). What is found is a
// hint, to be checked at the frame's memory home.
//
// Thread-safe; no lock, no memory, and every read is careful. To be used inside a PeerUse.
#pragma once

#include <cstdint>
#include <optional>

#include "base/ids.h"
#include "machine/layout.h"
#include "proto/pages.h"

namespace hive::lib {

class PageFinder {
 public:
  // What the welcome of a cell said is input: a table that can't be one is as none.
  PageFinder(const machine::Layout& layout, CellId cell, const proto::PageRoots& roots) noexcept;

  struct Found {
    proto::PageEntry entry;
    std::uint32_t number = 0;  // of the entry in the table
  };
  // None: as far as one can see without asking. `entry.memory_home` is a cell of the machine, and
  // `entry.frame` a frame of it.
  std::optional<Found> find(std::uint64_t file, std::uint32_t page) const noexcept;
  // The number that readers mark pages with now; 0: there is none.
  std::uint32_t sweep() const noexcept;

  // Of a frame of this cell.
  bool load_sequence(std::uint32_t frame, std::uint64_t& sequence) const noexcept;
  bool load_frame(std::uint32_t frame, proto::PublishedFrame& about) const noexcept;

 private:
  bool read_head() noexcept;

  machine::Layout layout_;
  proto::PageRoots roots_;  // zero: there is none
  std::uint32_t entries_ = 0;
  std::uint32_t buckets_ = 0;
};

}  // namespace hive::lib
