// The samples of a pixel cover the unit square evenly, and depend on nothing but where they are.
#include "core/sampler.h"

#include <gtest/gtest.h>

#include <set>

namespace raytrace {
namespace {

TEST(Sampler, SixteenSamplesFallIntoSixteenBoxesOfEveryShape) {
  for (std::uint32_t pixel = 0; pixel < 50; ++pixel) {
    for (int draw = 0; draw < 5; ++draw) {
      for (const int columns : {1, 2, 4, 8, 16}) {
        std::set<int> boxes;
        for (std::uint32_t sample = 0; sample < 16; ++sample) {
          Sampler sampler(pixel, 3, sample);
          Vec2 p{};
          for (int i = 0; i <= draw; ++i) p = sampler.next2();
          ASSERT_TRUE(p.x >= 0.0f && p.x < 1.0f && p.y >= 0.0f && p.y < 1.0f);
          const int rows = 16 / columns;
          boxes.insert(static_cast<int>(p.x * static_cast<float>(columns)) * rows +
                       static_cast<int>(p.y * static_cast<float>(rows)));
        }
        ASSERT_EQ(boxes.size(), 16u) << "pixel " << pixel << ", " << columns << " columns";
      }
    }
  }
}

TEST(Sampler, IsAFunctionOfPixelAndSample) {
  Sampler a(5, 7, 3), b(5, 7, 3), c(7, 5, 3);
  const Vec2 pa = a.next2(), pb = b.next2(), pc = c.next2();
  EXPECT_EQ(pa.x, pb.x);
  EXPECT_EQ(pa.y, pb.y);
  EXPECT_NE(pa.x, pc.x);
}

}  // namespace
}  // namespace raytrace
