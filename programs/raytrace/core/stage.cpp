#include "core/stage.h"

#include <cmath>

namespace raytrace {
namespace {

constexpr float crease_cosine = 0.766f;         // 40 degrees
constexpr std::uint32_t faces_around_max = 64;  // a vertex with more is the hub of a fan: flat

Vec3 area_vector(const Mesh& mesh, const Triangle& t) {
  const Vec3 a = mesh.vertices[t.vertex[0]];
  return cross(mesh.vertices[t.vertex[1]] - a, mesh.vertices[t.vertex[2]] - a);
}

std::uint32_t add_material(Mesh& mesh, const Material& m) {
  mesh.materials.push_back(m);
  return static_cast<std::uint32_t>(mesh.materials.size() - 1);
}

// A rectangle around `center`; its front is where cross(half_a, half_b) points.
void add_quad(Mesh& mesh, Vec3 center, Vec3 half_a, Vec3 half_b, std::uint32_t material) {
  const auto v = static_cast<std::uint32_t>(mesh.vertices.size());
  mesh.vertices.insert(mesh.vertices.end(), {center - half_a - half_b, center + half_a - half_b,
                                             center + half_a + half_b, center - half_a + half_b});
  constexpr std::array<std::uint32_t, 3> none{no_normal, no_normal, no_normal};
  mesh.triangles.push_back({{v, v + 1, v + 2}, none, material});
  mesh.triangles.push_back({{v, v + 2, v + 3}, none, material});
}

bool anything_shines(const Mesh& mesh) {
  if (mesh.sky) return true;
  return std::any_of(mesh.triangles.begin(), mesh.triangles.end(), [&](const Triangle& t) {
    return largest(mesh.materials[t.material].ke) > 0.0f;
  });
}

}  // namespace

void drop_degenerate(Mesh& mesh) {
  std::erase_if(mesh.triangles, [&](const Triangle& t) {
    const float area = length(area_vector(mesh, t));
    return !(area > 1e-30f) || !std::isfinite(area);
  });
}

void smooth_normals(Mesh& mesh) {
  // The faces around vertex v are around[first[v]] .. around[first[v + 1]], by counting sort.
  std::vector<std::uint32_t> first(mesh.vertices.size() + 1, 0);
  for (const Triangle& t : mesh.triangles) {
    for (const std::uint32_t v : t.vertex) ++first[v + 1];
  }
  for (std::size_t v = 1; v < first.size(); ++v) first[v] += first[v - 1];
  std::vector<std::uint32_t> around(mesh.triangles.size() * 3);
  std::vector<std::uint32_t> fill(first.begin(), first.end() - 1);
  for (std::size_t i = 0; i < mesh.triangles.size(); ++i) {
    for (const std::uint32_t v : mesh.triangles[i].vertex) {
      around[fill[v]++] = static_cast<std::uint32_t>(i);
    }
  }
  for (Triangle& t : mesh.triangles) {
    const Vec3 own = normalize(area_vector(mesh, t));
    for (int corner = 0; corner < 3; ++corner) {
      if (t.normal[corner] != no_normal) continue;
      const std::uint32_t v = t.vertex[corner];
      Vec3 sum = own * 1e-6f;
      for (std::uint32_t i = first[v]; i < first[v + 1]; ++i) {
        if (first[v + 1] - first[v] > faces_around_max) break;
        const Vec3 other = area_vector(mesh, mesh.triangles[around[i]]);
        if (dot(own, other) >= crease_cosine * length(other)) sum += other;
      }
      const Vec3 n = length(sum) > 1e-20f ? normalize(sum) : own;
      t.normal[corner] = static_cast<std::uint32_t>(mesh.normals.size());
      mesh.normals.push_back(n);
    }
  }
}

void furnish(Mesh& mesh) {
  Box box;
  for (const Triangle& t : mesh.triangles) {
    for (const std::uint32_t v : t.vertex) box.grow(mesh.vertices[v]);
  }
  const Vec3 center = box.center();
  const float size = std::max(length(box.high - box.low), 1e-6f);
  const bool bare = !mesh.pose.has_value();
  if (!anything_shines(mesh)) {
    mesh.sky = Sky{{0.55f, 0.60f, 0.68f}, {0.28f, 0.40f, 0.62f}};
    Material lamp;
    lamp.kd = lamp.ks = {0.0f, 0.0f, 0.0f};
    lamp.ke = {9.0f, 8.2f, 7.0f};
    const Vec3 place = center + Vec3{-0.9f, 1.4f, 0.8f} * size;
    const Frame f = frame_around(normalize(center - place));
    add_quad(mesh, place, f.tangent * (0.4f * size), f.bitangent * (0.4f * size),
             add_material(mesh, lamp));
  }
  if (!bare) return;
  Pose pose;
  pose.target = center;
  pose.eye = center + normalize(Vec3{0.45f, 0.38f, 1.0f}) * (1.25f * size);
  pose.field_of_view = 40.0f;
  mesh.pose = pose;
  Material ground;
  ground.kd = {0.62f, 0.60f, 0.57f};
  ground.ks = {0.0f, 0.0f, 0.0f};
  ground.checker_kd = {0.42f, 0.41f, 0.40f};
  ground.checker_size = 0.15f * size;
  add_quad(mesh, {center.x, box.low.y - 1e-4f * size, center.z}, {0.0f, 0.0f, 12.0f * size},
           {12.0f * size, 0.0f, 0.0f}, add_material(mesh, ground));
}

}  // namespace raytrace
