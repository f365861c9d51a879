// The point of a surface that a ray has hit, and the directions in which light leaves it.
#pragma once

#include "core/scene.h"
#include "core/trace.h"
#include "core/vec.h"

namespace raytrace {

struct Surface {
  Vec3 position;
  Vec3 face;    // normal of the triangle, on the ray's side
  Vec3 normal;  // smooth normal, on the ray's side
  Vec3 kd;      // diffuse reflectance at this very point
  bool front;   // the ray came from the side where the corners turn counterclockwise
  const Material* material;
};

inline Surface surface_at(const Scene& scene, const Ray& ray, const Hit& hit) {
  const Triangle& t = scene.triangle(hit.triangle);
  const Vec3 a = scene.vertex(t.vertex[0]);
  const Vec3 edge1 = scene.vertex(t.vertex[1]) - a, edge2 = scene.vertex(t.vertex[2]) - a;
  Surface s;
  // From the triangle, not along the ray: far away, that lies nearer to the true surface.
  s.position = a + edge1 * hit.u + edge2 * hit.v;
  s.face = normalize(cross(edge1, edge2));
  s.front = dot(s.face, ray.direction) < 0.0f;
  if (!s.front) s.face = -s.face;
  s.normal = scene.normal(t.normal[0]) * (1.0f - hit.u - hit.v) +
             scene.normal(t.normal[1]) * hit.u + scene.normal(t.normal[2]) * hit.v;
  s.normal = dot(s.normal, s.normal) > 1e-12f ? normalize(s.normal) : s.face;
  if (dot(s.normal, s.face) < 0.0f) s.normal = -s.normal;
  s.material = &scene.material(t.material);
  s.kd = s.material->kd;
  if (s.material->checker_size > 0.0f) {
    const float scale = 1.0f / s.material->checker_size;
    const float square = std::floor(s.position.x * scale) + std::floor(s.position.z * scale);
    if (std::fmod(square, 2.0f) != 0.0f) s.kd = s.material->checker_kd;
  }
  return s;
}

// A direction around n with probability proportional to its cosine.
inline Vec3 diffuse_direction(Vec3 n, Vec2 random) {
  const float r = std::sqrt(random.x), angle = 2.0f * pi * random.y;
  const float z = std::sqrt(std::max(0.0f, 1.0f - random.x));
  return frame_around(n).to_world({r * std::cos(angle), r * std::sin(angle), z});
}

inline Vec3 mirrored(Vec3 d, Vec3 n) { return d - n * (2.0f * dot(d, n)); }

// The reflection of d, blurred by the sharpness of the surface; always on the face's side.
inline Vec3 reflected_direction(const Surface& s, Vec3 d, Vec2 random) {
  Vec3 ideal = mirrored(d, s.normal);
  if (dot(ideal, s.face) <= 0.0f) ideal = mirrored(d, s.face);  // at grazing angles
  if (s.material->ns >= mirror_ns) return normalize(ideal);
  const float z = std::pow(1.0f - random.x, 1.0f / (s.material->ns + 1.0f));
  const float r = std::sqrt(std::max(0.0f, 1.0f - z * z)), angle = 2.0f * pi * random.y;
  const Vec3 blurred =
      frame_around(normalize(ideal)).to_world({r * std::cos(angle), r * std::sin(angle), z});
  return dot(blurred, s.face) > 0.0f ? blurred : normalize(ideal);
}

// Schlick's approximation: everything reflects at grazing angles.
inline Vec3 coat_reflectance(const Material& m, float cosine) {
  if (largest(m.ks) <= 0.0f) return {0.0f, 0.0f, 0.0f};
  const float c = std::max(0.0f, 1.0f - cosine);
  return m.ks + (Vec3{1.0f, 1.0f, 1.0f} - m.ks) * (c * c * c * c * c);
}

}  // namespace raytrace
