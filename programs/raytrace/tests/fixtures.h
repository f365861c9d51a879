// Scenes for tests, in plain memory.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <string>

#include "core/obj.h"
#include "core/scene.h"

namespace raytrace {

inline Mesh random_mesh(std::size_t triangles, unsigned seed, float spread = 1.0f) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> place(-spread, spread), edge(-0.2f, 0.2f);
  Mesh mesh;
  mesh.materials.emplace_back();
  for (std::uint32_t i = 0; i < triangles; ++i) {
    const Vec3 a{place(random), place(random), place(random)};
    mesh.vertices.push_back(a);
    mesh.vertices.push_back(a + Vec3{edge(random), edge(random), edge(random)});
    mesh.vertices.push_back(a + Vec3{edge(random), edge(random), edge(random)});
    mesh.triangles.push_back(
        {{3 * i, 3 * i + 1, 3 * i + 2}, {no_normal, no_normal, no_normal}, 0});
  }
  return mesh;
}

struct Blob {
  explicit Blob(const SceneParts& parts)
      : size(parts.header.bytes),
        bytes(static_cast<std::byte*>(std::aligned_alloc(scene_alignment, size)), std::free) {
    write_scene(parts, bytes.get());
  }
  std::span<std::byte> span() const { return {bytes.get(), size}; }
  std::size_t size;
  std::unique_ptr<std::byte, decltype(&std::free)> bytes;
};

inline SceneParts must_prepare(Mesh mesh, const Settings& settings = {}) {
  auto parts = prepare_scene(std::move(mesh), settings);
  EXPECT_TRUE(parts.has_value()) << (parts ? "" : parts.error());
  return parts ? std::move(*parts) : SceneParts{};
}

inline Mesh shipped(const std::string& name) {
  auto mesh = read_obj(std::string(RAYTRACE_SCENES "/") + name + ".obj");
  EXPECT_TRUE(mesh.has_value()) << (mesh ? "" : mesh.error());
  return mesh ? std::move(*mesh) : Mesh{};
}

}  // namespace raytrace
