// The scene as it is traced: one contiguous run of bytes, a header and arrays behind it, with
// offsets and indices instead of pointers.
//
// It can be written into any memory of the right size (a heap block, a Hive segment) and is then
// read in place, by whoever can see it, at whatever address. The settings of the picture travel in
// it too, so that all workers render the same picture whatever their own command lines say.
//
//   | SceneHeader | nodes | leaves | triangles | vertices | normals | materials | lights |
//   every array begins at a multiple of 64 bytes
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "core/bvh.h"
#include "core/camera.h"
#include "core/mesh.h"
#include "core/outcome.h"

namespace raytrace {

struct Settings {
  std::uint32_t width = 640;
  std::uint32_t height = 480;
  std::uint32_t samples = 24;    // of each pixel
  std::uint32_t tile_size = 32;  // edge of a tile, in pixels
};

struct Array {
  std::uint64_t offset;
  std::uint64_t count;
};

// A triangle that sends out light, and the chance that it or one before it is picked.
struct Light {
  std::uint32_t triangle;
  float cumulative;   // in (0, 1], rising; the last is 1
  float probability;  // of being picked
  float area;
};

struct SceneHeader {
  std::uint64_t magic;
  std::uint64_t bytes;     // of the whole scene
  std::uint64_t checksum;  // of all bytes, taken with this field zero
  Settings settings;
  Camera camera;
  Sky sky;
  float exposure;
  float epsilon;  // how far a ray starts from the surface that it leaves
  Array nodes, leaves, triangles, vertices, normals, materials, lights;
};
static_assert(std::is_trivially_copyable_v<SceneHeader>);
static_assert(std::is_trivially_copyable_v<BvhNode> && std::is_trivially_copyable_v<BvhLeaf>);
static_assert(std::is_trivially_copyable_v<Triangle> && std::is_trivially_copyable_v<Light>);
static_assert(std::is_trivially_copyable_v<Material> && std::is_trivially_copyable_v<Vec3>);

inline constexpr std::size_t scene_alignment = 64;

// Everything that goes into a scene, ready to be written.
struct SceneParts {
  Mesh mesh;  // with a normal at every corner
  Bvh bvh;
  std::vector<Light> lights;
  SceneHeader header{};  // complete but for the checksum
};

// Completes the mesh (normals; camera, light and ground if the file has none) and builds the tree.
Outcome<SceneParts> prepare_scene(Mesh mesh, const Settings& settings);

// Writes header.bytes bytes to `to`, which is aligned to scene_alignment.
void write_scene(const SceneParts& parts, std::byte* to);

// A scene that lies somewhere in memory. Cheap to copy; it owns nothing.
class Scene {
 public:
  // Checks that a whole, undamaged scene begins at bytes.front(), aligned to scene_alignment:
  // the bytes may have come from another process, and indices in them are followed without further
  // checks later.
  static Outcome<Scene> open(std::span<const std::byte> bytes);

  const SceneHeader& header() const { return *header_; }
  const Settings& settings() const { return header_->settings; }
  const BvhNode* nodes() const { return nodes_; }
  const BvhLeaf* leaves() const { return leaves_; }
  const Triangle& triangle(std::uint32_t i) const { return triangles_[i]; }
  Vec3 vertex(std::uint32_t i) const { return vertices_[i]; }
  Vec3 normal(std::uint32_t i) const { return normals_[i]; }
  const Material& material(std::uint32_t i) const { return materials_[i]; }
  std::span<const Light> lights() const { return lights_; }

 private:
  const SceneHeader* header_ = nullptr;
  const BvhNode* nodes_ = nullptr;
  const BvhLeaf* leaves_ = nullptr;
  const Triangle* triangles_ = nullptr;
  const Vec3* vertices_ = nullptr;
  const Vec3* normals_ = nullptr;
  const Material* materials_ = nullptr;
  std::span<const Light> lights_;
};

}  // namespace raytrace
