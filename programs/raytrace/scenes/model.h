// Builds the shipped scenes: shapes are added to a model, which is written as OBJ text.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/vec.h"

namespace raytrace::scenes {

// Turns a shape about the vertical axis, scales it, and puts it somewhere.
struct Placement {
  Vec3 position{0.0f, 0.0f, 0.0f};
  float scale = 1.0f;
  float turn_degrees = 0.0f;
  Vec3 point(Vec3 p) const { return direction(p) * scale + position; }
  Vec3 direction(Vec3 d) const {
    const float a = turn_degrees * pi / 180.0f;
    return {d.x * std::cos(a) + d.z * std::sin(a), d.y, d.z * std::cos(a) - d.x * std::sin(a)};
  }
};

class Model {
 public:
  // A statement for the head of the file, such as "#!camera ...".
  void head(const std::string& line) { head_ += line + "\n"; }
  // Faces from here on have this material, whose statements are `lines`.
  void material(const std::string& name, const std::string& lines);

  // A grid of points, smooth across its cells; point(i, j) and normal(i, j) are given row by row.
  // Cells without area are left out.
  void grid(int rows, int columns, const std::vector<Vec3>& points,
            const std::vector<Vec3>& normals);
  void sphere(Vec3 center, float radius, int rows = 64);
  void quad(Vec3 a, Vec3 b, Vec3 c, Vec3 d);  // counterclockwise, seen from its front
  // A box that stands on the ground, turned about the vertical axis.
  void box(Vec3 half_size, const Placement& placement);
  void teapot(const Placement& placement, int cells_per_patch);

  // Writes FOLDER/NAME.obj and FOLDER/NAME.mtl. False if that fails.
  bool write(const std::string& folder, const std::string& name) const;

 private:
  struct Corner {
    std::size_t vertex, normal;  // normal 0: none
  };
  void face(const std::vector<Corner>& corners);
  std::size_t vertex(Vec3 p);
  std::size_t normal(Vec3 n);

  std::string head_, body_, materials_;
  std::size_t vertices_ = 0, normals_ = 0, faces_ = 0;
};

// The scenes, by name.
Model teapot_scene();
Model room_scene();
Model teaset_scene();

}  // namespace raytrace::scenes
