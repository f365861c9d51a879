#include "cell/diagnostics/stray_store.h"

#include <random>

namespace hive::cell {

StrayStore stray_store_at(const machine::Layout& layout, CellId self, std::uint64_t address) {
  StrayStore store{.address = address, .home = layout.node_of(address)};
  if (store.home < 0) return store;
  const bool in_kernel = layout.in_kernel(store.home, address);
  store.is_memory = in_kernel || layout.in_user(store.home, address);
  if (!store.is_memory) store.home = -1;
  store.is_fenced = store.is_memory && !(in_kernel && store.home == self);
  return store;
}

Result<StrayStore> draw_stray_store(const machine::Layout& layout, CellId self,
                                    const TaggedHeap& heap, const std::string& kind,
                                    std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto at = [&](std::uint64_t begin, std::uint64_t bytes) {
    return stray_store_at(layout, self, begin + random() % bytes);
  };
  const auto cells = static_cast<CellId>(layout.cells);
  const auto step = cells == 1 ? 0 : 1 + static_cast<CellId>(random() % (layout.cells - 1));
  const CellId other = step == 0 ? -1 : (self + step) % cells;
  if (kind == "own-kernel") {
    // The whole of what it uses: header, rings, counters, and the heap as far as it has grown.
    const auto used = heap.touched();
    const auto end = reinterpret_cast<std::uint64_t>(used.data()) + used.size();
    return at(layout.kernel_begin(self), end - layout.kernel_begin(self));
  }
  if (kind == "own-user") return at(layout.user_begin(self), layout.user_bytes);
  if (kind == "unmapped") {
    // Half of them behind the memory of a node, the others far from the machine.
    const std::uint64_t gap = layout.stride - layout.kernel_bytes - layout.user_bytes;
    if (gap > 0 && random() % 2 == 0) return at(layout.user_end(self), gap);
    return at(machine::page_bytes, std::uint64_t{1} << 20);
  }
  if (kind == "foreign-open") {
    return fail(Code::not_found, "class not there: a kernel has no pages of other cells open",
                self);
  }
  if (kind != "foreign-kernel" && kind != "foreign-closed") {
    return fail(Code::bad_argument, "there is no such class of memory", self);
  }
  if (other < 0) return fail(Code::not_found, "there is no other cell", self);
  return kind == "foreign-kernel" ? at(layout.kernel_begin(other), layout.kernel_bytes)
                                  : at(layout.user_begin(other), layout.user_bytes);
}

}  // namespace hive::cell
