// The tree finds what trying every triangle finds.
#include "core/bvh.h"

#include <set>

#include "core/trace.h"
#include "tests/fixtures.h"

namespace raytrace {
namespace {

bool hit_one(const Scene& scene, std::uint32_t index, const Ray& ray, float& distance) {
  const Triangle& t = scene.triangle(index);
  const Vec3 a = scene.vertex(t.vertex[0]);
  const Vec3 e1 = scene.vertex(t.vertex[1]) - a, e2 = scene.vertex(t.vertex[2]) - a;
  const Vec3 p = cross(ray.direction, e2), s = ray.origin - a, q = cross(s, e1);
  const float inverse = 1.0f / dot(e1, p);
  const float u = dot(s, p) * inverse, v = dot(ray.direction, q) * inverse;
  distance = dot(e2, q) * inverse;
  return u >= 0.0f && v >= 0.0f && u + v <= 1.0f && distance > 0.0f;
}

void compare_with_all(const Mesh& mesh, unsigned seed, int rays) {
  const Blob blob(must_prepare(mesh));
  const auto scene = Scene::open(blob.span());
  ASSERT_TRUE(scene.has_value()) << scene.error();
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> unit(-1.0f, 1.0f);
  int hits = 0;
  for (int i = 0; i < rays; ++i) {
    Ray ray{{2 * unit(random), 2 * unit(random), 2 * unit(random)},
            normalize(Vec3{unit(random), unit(random), unit(random)})};
    if (i % 8 == 0) ray.direction = {0.0f, i % 16 == 0 ? -1.0f : 1.0f, 0.0f};
    float nearest = 1e30f;
    for (std::uint32_t t = 0; t < scene->header().triangles.count; ++t) {
      float distance = 0.0f;
      if (hit_one(*scene, t, ray, distance)) nearest = std::min(nearest, distance);
    }
    Hit hit{};
    const bool found = nearest_hit(*scene, ray, 1e30f, hit);
    ASSERT_EQ(found, nearest < 1e30f) << "ray " << i;
    if (found) {
      ASSERT_EQ(hit.distance, nearest) << "ray " << i;  // same arithmetic, so the same bits
      EXPECT_TRUE(any_hit(*scene, ray, nearest * 1.001f));
      EXPECT_FALSE(any_hit(*scene, ray, nearest * 0.999f));
      ++hits;
    }
  }
  EXPECT_GT(hits, rays / 20);
}

TEST(Bvh, FindsWhatTryingEveryTriangleFinds) {
  compare_with_all(random_mesh(1, 1), 2, 100);
  compare_with_all(random_mesh(7, 3), 4, 500);
  compare_with_all(random_mesh(3000, 5), 6, 1000);
}

TEST(Bvh, CopesWithManyTrianglesOnOneSpot) {
  Mesh mesh = random_mesh(1, 7);
  for (int i = 0; i < 999; ++i) mesh.triangles.push_back(mesh.triangles[0]);
  compare_with_all(mesh, 8, 200);
}

TEST(Bvh, StaysShallowWhenEachTriangleIsHalfTheLast) {
  Mesh mesh;
  mesh.materials.emplace_back();
  for (std::uint32_t i = 0; i < 120; ++i) {
    const float s = std::ldexp(1.0f, 28 - static_cast<int>(i));
    mesh.vertices.insert(mesh.vertices.end(), {{s, 0, 0}, {s, s, 0}, {s, 0, s}});
    mesh.triangles.push_back(
        {{3 * i, 3 * i + 1, 3 * i + 2}, {no_normal, no_normal, no_normal}, 0});
  }
  const Bvh bvh = build_bvh(mesh.vertices, mesh.triangles);
  int deepest = 0;
  const auto walk = [&](const auto& self, std::uint32_t node, int depth) -> void {
    deepest = std::max(deepest, depth);
    for (const std::uint32_t child : bvh.nodes[node].child) {
      if (child != child_none && (child & child_is_leaf) == 0) self(self, child, depth + 1);
    }
  };
  walk(walk, 0, 1);
  EXPECT_LE(deepest * (bvh_width - 1) + 1, bvh_stack_max);
}

TEST(Bvh, HoldsEveryTriangleOnce) {
  const Mesh mesh = random_mesh(1001, 9);
  const Bvh bvh = build_bvh(mesh.vertices, mesh.triangles);
  std::multiset<std::uint32_t> found;
  for (const BvhLeaf& leaf : bvh.leaves) {
    for (int i = 0; i < bvh_width; ++i) {
      const bool used = leaf.edge1[0][i] != 0.0f || leaf.edge1[1][i] != 0.0f;
      if (used) found.insert(leaf.triangle[i]);
    }
  }
  ASSERT_EQ(found.size(), mesh.triangles.size());
  EXPECT_EQ(std::set<std::uint32_t>(found.begin(), found.end()).size(), found.size());
}

}  // namespace
}  // namespace raytrace
