// The scene is one run of bytes that can be copied anywhere, and that is not believed blindly.
#include "core/scene.h"

#include <cstring>

#include "tests/fixtures.h"

namespace raytrace {
namespace {

TEST(Scene, LooksTheSameWhereverItLies) {
  const Blob blob(must_prepare(random_mesh(50, 1)));
  std::vector<std::byte> room(blob.size + 2 * scene_alignment);
  const auto start = reinterpret_cast<std::uintptr_t>(room.data());
  std::byte* elsewhere = room.data() + (scene_alignment - start % scene_alignment);
  std::memcpy(elsewhere, blob.bytes.get(), blob.size);
  const auto scene = Scene::open({elsewhere, blob.size});
  ASSERT_TRUE(scene.has_value()) << scene.error();
  const auto inside = [&](const void* p) { return p >= elsewhere && p < elsewhere + blob.size; };
  EXPECT_TRUE(inside(scene->nodes()) && inside(scene->leaves()) && inside(&scene->triangle(0)) &&
              inside(&scene->material(0)) && inside(scene->lights().data()));
}

TEST(Scene, TheSameMeshGivesTheSameBytes) {
  const Blob a(must_prepare(shipped("teapot"))), b(must_prepare(shipped("teapot")));
  ASSERT_EQ(a.size, b.size);
  EXPECT_EQ(std::memcmp(a.bytes.get(), b.bytes.get(), a.size), 0);
}

TEST(Scene, MayLieInMemoryThatIsLargerThanIt) {
  const auto parts = must_prepare(random_mesh(5, 2));
  std::vector<std::byte> room(parts.header.bytes + 8192 + scene_alignment);
  const auto start = reinterpret_cast<std::uintptr_t>(room.data());
  std::byte* at = room.data() + (scene_alignment - start % scene_alignment);
  write_scene(parts, at);
  EXPECT_TRUE(Scene::open({at, parts.header.bytes + 8192}).has_value());
}

TEST(Scene, RefusesBytesThatAreNoneCutOffOrDamaged) {
  const Blob blob(must_prepare(random_mesh(50, 3)));
  EXPECT_EQ(Scene::open(blob.span().first(10)).error(), "the scene is too short");
  EXPECT_EQ(Scene::open(blob.span().first(blob.size - 64)).error(), "the scene is cut off");
  for (const std::size_t at : {std::size_t{24}, std::size_t{100}, blob.size / 2, blob.size - 1}) {
    blob.bytes.get()[at] ^= std::byte{1};
    EXPECT_FALSE(Scene::open(blob.span()).has_value()) << "byte " << at;
    blob.bytes.get()[at] ^= std::byte{1};
  }
  EXPECT_TRUE(Scene::open(blob.span()).has_value());
  std::memset(blob.bytes.get(), 0, blob.size);
  EXPECT_FALSE(Scene::open(blob.span()).has_value());
}

TEST(Scene, GivesABareMeshALightACameraAndNormals) {
  const auto parts = must_prepare(random_mesh(50, 4));
  EXPECT_FALSE(parts.lights.empty());
  EXPECT_TRUE(parts.mesh.pose.has_value() && parts.mesh.sky.has_value());
  for (const Triangle& t : parts.mesh.triangles) {
    for (const std::uint32_t n : t.normal) {
      ASSERT_LT(n, parts.mesh.normals.size());
      EXPECT_NEAR(length(parts.mesh.normals[n]), 1.0f, 1e-3f);
    }
  }
}

TEST(Scene, LightsArePickedByHowMuchTheySend) {
  const auto parts = must_prepare(shipped("room"));
  ASSERT_EQ(parts.lights.size(), 2u);
  EXPECT_NEAR(parts.lights[0].probability, 0.5f, 1e-3f);
  EXPECT_EQ(parts.lights[1].cumulative, 1.0f);
}

TEST(Scene, RefusesAMeshWithoutAnyArea) {
  Mesh mesh;
  mesh.materials.emplace_back();
  mesh.vertices = {{0, 0, 0}, {1, 0, 0}, {2, 0, 0}};
  mesh.triangles.push_back({{0, 1, 2}, {no_normal, no_normal, no_normal}, 0});
  EXPECT_FALSE(prepare_scene(mesh, {}).has_value());
}

}  // namespace
}  // namespace raytrace
