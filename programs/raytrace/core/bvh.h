// The tree that finds what a ray hits: a bounding volume hierarchy with four children to a node.
//
// Nodes and leaves lie in two arrays and point to each other by index, never by address, so that
// the tree can be copied, shared and read in place at whatever address it happens to lie. Each
// node tests its four boxes, and each leaf its four triangles, with one pass of four-wide
// arithmetic.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/mesh.h"
#include "core/vec.h"

namespace raytrace {

inline constexpr int bvh_width = 4;
inline constexpr std::uint32_t child_none = ~std::uint32_t{0};
inline constexpr std::uint32_t child_is_leaf = std::uint32_t{1} << 31;

// Past this depth the builder splits in the middle, so that no input makes the tree deeper than
// this plus the logarithm of its size; the tracer's stack has room for all of it.
inline constexpr int bvh_clever_depth = 40;
inline constexpr int bvh_stack_max = (bvh_clever_depth + 32) * (bvh_width - 1) + 1;

struct alignas(64) BvhNode {
  // planes[axis][low or high][child]; an unused child has an empty box that nothing hits.
  float planes[3][2][bvh_width];
  std::uint32_t child[bvh_width];  // node, or leaf | child_is_leaf, or child_none
  std::uint32_t pad[4];  // named, so that it is zero: the same scene gives the same bytes
};
static_assert(sizeof(BvhNode) == 128);

// Up to four triangles, as one corner and the two edges that leave it. An unused lane has edges of
// length zero, which nothing hits.
struct alignas(16) BvhLeaf {
  float corner[3][bvh_width];
  float edge1[3][bvh_width];
  float edge2[3][bvh_width];
  std::uint32_t triangle[bvh_width];
};
static_assert(sizeof(BvhLeaf) == 160);

struct Bvh {
  std::vector<BvhNode> nodes;  // [0] is the root
  std::vector<BvhLeaf> leaves;
};

// Needs at least one triangle, and indices in range. The same mesh always gives the same tree.
Bvh build_bvh(const std::vector<Vec3>& vertices, const std::vector<Triangle>& triangles);

}  // namespace raytrace
