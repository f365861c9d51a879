#include "machine/layout.h"

#include <gtest/gtest.h>

namespace hive::machine {
namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20;

TEST(Layout, EveryAddressBelongsToOneNode) {
  const Layout layout = make_layout(5, 100 * mib);
  for (CellId node = 0; node < 5; ++node) {
    EXPECT_EQ(layout.node_of(layout.kernel_begin(node)), node);
    EXPECT_EQ(layout.node_of(layout.user_end(node) - 1), node);
    EXPECT_TRUE(layout.in_kernel(node, layout.kernel_end(node) - 1));
    EXPECT_FALSE(layout.in_kernel(node, layout.user_begin(node)));
    EXPECT_TRUE(layout.in_user(node, layout.user_begin(node)));
    EXPECT_FALSE(layout.in_user(node, layout.user_end(node)));
  }
  EXPECT_EQ(layout.node_of(layout.base - 1), -1);
  EXPECT_EQ(layout.node_of(layout.end()), -1);
}

TEST(Layout, AMachineThatDoesNotFitHasNoStride) {
  EXPECT_NE(make_layout(64, 4096 * mib).stride, 0U);
  EXPECT_EQ(make_layout(64, 6000 * mib).stride, 0U);
  EXPECT_LE(make_layout(64, 4096 * mib).end(), machine_base + machine_span_max);
}

TEST(Layout, SizesAreRoundedUpToPages) {
  EXPECT_EQ(make_layout(1, 1).user_bytes, page_bytes);
  EXPECT_EQ(make_layout(1, page_bytes + 1).user_pages(), 2U);
}

}  // namespace
}  // namespace hive::machine
