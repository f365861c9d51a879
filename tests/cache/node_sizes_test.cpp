// Whether the tables that describe a node's frames fit its kernel memory, whatever its size.

#include <gtest/gtest.h>

#include <cstdint>

#include "cell/files/cache_table.h"
#include "cell/frames/pfdat.h"
#include "cell/heap/tagged_heap.h"
#include "machine/layout.h"
#include "mapped_node.h"

namespace hive::cell::test {
namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20;
// Rings for 64 cells, and everything else that does not grow with the node.
constexpr std::uint64_t fixed_bytes = 8 * mib;

TEST(NodeSizes, TheTablesOfTheFramesFitTheKernelMemoryOfANodeOfAnySize) {
  for (const std::uint64_t size : {1U, 8U, 33U, 65U, 100U, 129U, 190U, 257U, 400U, 730U, 1024U,
                                   1100U, 2048U}) {
    const machine::Layout layout = machine::make_layout(2, size * mib);
    hive::test::MappedNode node(layout, 0);
    ASSERT_GT(node.heap_bytes(), fixed_bytes) << size;
    TaggedHeap heap(node.heap(), node.heap_bytes() - fixed_bytes);
    const auto frames = static_cast<std::uint32_t>(layout.user_pages());
    const auto table = CacheTable::create(heap, frames + borrowed_frames_max(frames), 0);
    EXPECT_TRUE(table) << size << " MiB";
    auto* const pfdats = heap.create_sized<PfdatTable>(PfdatTable::bytes_for(frames));
    EXPECT_NE(pfdats, nullptr) << size << " MiB";
  }
}

}  // namespace
}  // namespace hive::cell::test
