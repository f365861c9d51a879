// Draws where a wild store of this kernel goes, by the class of memory that it is to hit.
#pragma once

#include <cstdint>
#include <string>

#include <hive/error.h>
#include "base/ids.h"
#include "cell/heap/tagged_heap.h"
#include "machine/layout.h"

namespace hive::cell {

struct StrayStore {
  std::uint64_t address = 0;
  CellId home = -1;      // whose memory it is; -1: nobody's
  bool is_memory = false;  // else nothing is mapped there
  bool is_fenced = false;  // a sound machine stops it
};

// classes: own-kernel (a part that is in use), own-user, foreign-kernel, foreign-closed, unmapped.
// Errors: not_found (foreign-open: a kernel never has pages of another cell open; or there is no
// other cell), bad_argument (no such class).
Result<StrayStore> draw_stray_store(const machine::Layout& layout, CellId self,
                                    const TaggedHeap& heap, const std::string& kind,
                                    std::uint64_t seed);
// What an address is; for one that somebody else chose.
StrayStore stray_store_at(const machine::Layout& layout, CellId self, std::uint64_t address);

}  // namespace hive::cell
