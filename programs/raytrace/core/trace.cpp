#include "core/trace.h"

#include "core/simd.h"

namespace raytrace {
namespace {

// The ray, spread out for four-wide tests.
struct WideRay {
  explicit WideRay(const Ray& ray) {
    for (int axis = 0; axis < 3; ++axis) {
      const float d = axis_of(ray.direction, axis);
      // A direction of zero would give 0 * infinity on a plane that holds the origin.
      const float inverse = 1.0f / (std::abs(d) > 1e-18f ? d : std::copysign(1e-18f, d));
      origin[axis] = Float4::all(axis_of(ray.origin, axis));
      direction[axis] = Float4::all(d);
      inverse_direction[axis] = Float4::all(inverse);
      negative[axis] = inverse < 0.0f ? 1 : 0;
    }
  }
  Float4 origin[3], direction[3], inverse_direction[3];
  int negative[3];
};

// The children whose boxes the ray meets before `reach`, as bits, and how far off they begin.
int box_hits(const BvhNode& node, const WideRay& ray, float reach, Float4& entry) {
  Float4 near = Float4::all(0.0f), far = Float4::all(reach);
  for (int axis = 0; axis < 3; ++axis) {
    const int s = ray.negative[axis];
    const Float4 o = ray.origin[axis], i = ray.inverse_direction[axis];
    near = max((Float4::load(node.planes[axis][s]) - o) * i, near);
    far = min((Float4::load(node.planes[axis][1 - s]) - o) * i, far);
  }
  entry = near;
  // A little slack for rounding: else rays slip through the crack between two boxes.
  return less_equal(near, far * Float4::all(1.0000004f));
}

// Möller and Trumbore's test of four triangles. Bits of those hit before `reach`.
int triangle_hits(const BvhLeaf& leaf, const WideRay& ray, float reach, Float4& distance,
                  Float4& u, Float4& v) {
  const auto load = [](const float(&a)[3][bvh_width], int axis) { return Float4::load(a[axis]); };
  const Float4 e1x = load(leaf.edge1, 0), e1y = load(leaf.edge1, 1), e1z = load(leaf.edge1, 2);
  const Float4 e2x = load(leaf.edge2, 0), e2y = load(leaf.edge2, 1), e2z = load(leaf.edge2, 2);
  const Float4 dx = ray.direction[0], dy = ray.direction[1], dz = ray.direction[2];
  const Float4 px = dy * e2z - dz * e2y, py = dz * e2x - dx * e2z, pz = dx * e2y - dy * e2x;
  const Float4 inverse = Float4::all(1.0f) / (e1x * px + e1y * py + e1z * pz);
  const Float4 sx = ray.origin[0] - load(leaf.corner, 0);
  const Float4 sy = ray.origin[1] - load(leaf.corner, 1);
  const Float4 sz = ray.origin[2] - load(leaf.corner, 2);
  u = (sx * px + sy * py + sz * pz) * inverse;
  const Float4 qx = sy * e1z - sz * e1y, qy = sz * e1x - sx * e1z, qz = sx * e1y - sy * e1x;
  v = (dx * qx + dy * qy + dz * qz) * inverse;
  distance = (e2x * qx + e2y * qy + e2z * qz) * inverse;
  // In a lane without area, `inverse` is infinite and what follows is no number: no hit.
  const Float4 zero = Float4::all(0.0f);
  return less_equal(zero, u) & less_equal(zero, v) & less_equal(u + v, Float4::all(1.0f)) &
         less(zero, distance) & less(distance, Float4::all(reach));
}

struct Pending {
  std::uint32_t child;
  float entry;
};

}  // namespace

bool nearest_hit(const Scene& scene, const Ray& ray, float reach, Hit& hit) {
  const WideRay wide(ray);
  Pending stack[bvh_stack_max];
  int depth = 0;
  stack[depth++] = {0, 0.0f};
  bool found = false;
  while (depth > 0) {
    const Pending next = stack[--depth];
    if (next.entry > reach) continue;
    if ((next.child & child_is_leaf) != 0) {
      const BvhLeaf& leaf = scene.leaves()[next.child & ~child_is_leaf];
      Float4 distance, u, v;
      int bits = triangle_hits(leaf, wide, reach, distance, u, v);
      if (bits == 0) continue;
      alignas(16) float d[4], us[4], vs[4];
      distance.store(d);
      u.store(us);
      v.store(vs);
      for (; bits != 0; bits &= bits - 1) {
        const int i = __builtin_ctz(static_cast<unsigned>(bits));
        if (!(d[i] < reach)) continue;
        reach = d[i];
        hit = {d[i], us[i], vs[i], leaf.triangle[i]};
        found = true;
      }
      continue;
    }
    const BvhNode& node = scene.nodes()[next.child];
    Float4 entry;
    int bits = box_hits(node, wide, reach, entry);
    if (bits == 0) continue;
    alignas(16) float e[4];
    entry.store(e);
    // Pushed so that the nearest is on top: with at most four, insertion is the fastest sort.
    const int bottom = depth;
    for (; bits != 0; bits &= bits - 1) {
      const int i = __builtin_ctz(static_cast<unsigned>(bits));
      int place = depth++;
      for (; place > bottom && stack[place - 1].entry < e[i]; --place) {
        stack[place] = stack[place - 1];
      }
      stack[place] = {node.child[i], e[i]};
    }
  }
  return found;
}

bool any_hit(const Scene& scene, const Ray& ray, float reach) {
  const WideRay wide(ray);
  std::uint32_t stack[bvh_stack_max];
  int depth = 0;
  stack[depth++] = 0;
  while (depth > 0) {
    const std::uint32_t next = stack[--depth];
    Float4 a, b, c;
    if ((next & child_is_leaf) != 0) {
      const BvhLeaf& leaf = scene.leaves()[next & ~child_is_leaf];
      if (triangle_hits(leaf, wide, reach, a, b, c) != 0) return true;
      continue;
    }
    const BvhNode& node = scene.nodes()[next];
    for (int bits = box_hits(node, wide, reach, a); bits != 0; bits &= bits - 1) {
      stack[depth++] = node.child[__builtin_ctz(static_cast<unsigned>(bits))];
    }
  }
  return false;
}

}  // namespace raytrace
