// A camera with a thin lens: what lies at the distance of the target is sharp.
#pragma once

#include "core/mesh.h"
#include "core/vec.h"

namespace raytrace {

struct Camera {
  Vec3 eye;
  Vec3 corner;  // from the eye to the top left corner of the picture, at the distance of focus
  Vec3 right;   // the picture's whole width there
  Vec3 down;    // its whole height
  Vec3 lens_x, lens_y;

  // The ray through (x, y) of the picture, both in [0, 1] and y downwards, from a point of the
  // lens.
  Ray ray(float x, float y, Vec2 on_lens) const {
    const Vec3 start = lens_x * on_lens.x + lens_y * on_lens.y;
    return {eye + start, normalize(corner + right * x + down * y - start)};
  }
};

inline Camera make_camera(const Pose& pose, float aspect) {
  Vec3 forward = pose.target - pose.eye;
  const float distance = std::max(length(forward), 1e-6f);
  forward = length(forward) > 0.0f ? normalize(forward) : Vec3{0.0f, 0.0f, -1.0f};
  // Looking straight up or down, "up" says nothing about which way the picture is turned.
  const bool steep = std::abs(forward.y) > 0.9999f;
  const Vec3 up = steep ? Vec3{0.0f, 0.0f, -1.0f} : Vec3{0.0f, 1.0f, 0.0f};
  const Vec3 right = normalize(cross(forward, up));
  const Vec3 down = cross(forward, right);
  const float height = 2.0f * distance * std::tan(pose.field_of_view * pi / 360.0f);
  Camera camera;
  camera.eye = pose.eye;
  camera.right = right * (height * aspect);
  camera.down = down * height;
  camera.corner = forward * distance - camera.right * 0.5f - camera.down * 0.5f;
  camera.lens_x = right * pose.lens_radius;
  camera.lens_y = down * pose.lens_radius;
  return camera;
}

}  // namespace raytrace
