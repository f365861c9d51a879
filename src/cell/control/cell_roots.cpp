#include "cell/control/cell_roots.h"

namespace hive::cell {

Result<CellRoots> read_roots(const CarefulReader& reader, const machine::Layout& layout) {
  const std::uint64_t begin = layout.kernel_begin(reader.cell());
  Result<CellRoots> roots;
  const auto copied = reader.read_bytes_to(begin, roots->header.bytes(),
                                           sizeof(machine::NodeHeader), alignof(std::uint64_t));
  if (!copied) return fail(copied.error());
  auto root = reader.read<CellRoot>(begin + roots->header->root_offset);
  if (!root) return fail(root.error());
  roots->cell = *root;
  auto home = reader.read<HomeRoot>(roots->cell->home_root);
  if (!home) return fail(home.error());
  roots->home = *home;
  return roots;
}

}  // namespace hive::cell
