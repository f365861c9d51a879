// A scene as it is read from files, in growable private memory. scene.h packs it into the blob
// that is traced.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/vec.h"

namespace raytrace {

// A surface: a coloured base under a clear coat. With ks = 0 it is matt, with kd = 0 a metal.
struct alignas(16) Material {
  Vec3 kd{0.73f, 0.73f, 0.73f};  // diffuse reflectance
  float ns = 400.0f;  // sharpness of reflections (Phong exponent); from mirror_ns: ideal
  Vec3 ks{0.04f, 0.04f, 0.04f};  // reflectance of the coat, looked at straight
  float checker_size = 0.0f;     // edge of a square; 0: no checker
  Vec3 ke{0.0f, 0.0f, 0.0f};     // light that the front side sends out
  float pad0 = 0.0f;
  Vec3 checker_kd{0.0f, 0.0f, 0.0f};  // diffuse reflectance of every other square
  float pad1 = 0.0f;
};
static_assert(sizeof(Material) == 64);

inline constexpr float mirror_ns = 10000.0f;
inline constexpr std::uint32_t no_normal = ~std::uint32_t{0};

struct Triangle {
  std::array<std::uint32_t, 3> vertex;
  std::array<std::uint32_t, 3> normal;  // no_normal in a corner that the file gives none for
  std::uint32_t material;
};

// Where the picture is taken from. Metres, or whatever the file's unit is; y is up.
struct Pose {
  Vec3 eye{}, target{};
  float field_of_view = 40.0f;  // degrees, of the picture's height
  float lens_radius = 0.0f;     // 0: everything is sharp
};

// The light that comes from where nothing is.
struct Sky {
  Vec3 horizon{}, zenith{};
};

struct Mesh {
  std::vector<Vec3> vertices;
  std::vector<Vec3> normals;
  std::vector<Triangle> triangles;
  std::vector<Material> materials;  // [0] is the default
  std::optional<Pose> pose;
  std::optional<Sky> sky;
  float exposure = 1.0f;
  std::vector<std::string> warnings;  // what was wrong but could be passed over
};

}  // namespace raytrace
