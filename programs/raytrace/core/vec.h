// Three floats and what one does with them. Plain structs: they lie inside the scene blob, which
// several processes read in place, so they have no constructors and no hidden layout.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace raytrace {

inline constexpr float pi = 3.14159265358979f;

struct Vec2 {
  float x, y;
};

struct Vec3 {
  float x, y, z;
};

inline Vec3 operator+(Vec3 a, Vec3 b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
inline Vec3 operator-(Vec3 a, Vec3 b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
inline Vec3 operator-(Vec3 a) { return {-a.x, -a.y, -a.z}; }
inline Vec3 operator*(Vec3 a, Vec3 b) { return {a.x * b.x, a.y * b.y, a.z * b.z}; }
inline Vec3 operator*(Vec3 a, float s) { return {a.x * s, a.y * s, a.z * s}; }
inline Vec3 operator*(float s, Vec3 a) { return a * s; }
inline Vec3 operator/(Vec3 a, float s) { return a * (1.0f / s); }
inline Vec3& operator+=(Vec3& a, Vec3 b) { return a = a + b; }
inline Vec3& operator*=(Vec3& a, Vec3 b) { return a = a * b; }

inline float dot(Vec3 a, Vec3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline Vec3 cross(Vec3 a, Vec3 b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
inline float length(Vec3 a) { return std::sqrt(dot(a, a)); }
inline Vec3 normalize(Vec3 a) { return a / length(a); }
inline Vec3 lerp(Vec3 a, Vec3 b, float t) { return a * (1.0f - t) + b * t; }
inline Vec3 min(Vec3 a, Vec3 b) {
  return {std::min(a.x, b.x), std::min(a.y, b.y), std::min(a.z, b.z)};
}
inline Vec3 max(Vec3 a, Vec3 b) {
  return {std::max(a.x, b.x), std::max(a.y, b.y), std::max(a.z, b.z)};
}
inline float largest(Vec3 a) { return std::max(a.x, std::max(a.y, a.z)); }
inline float luminance(Vec3 c) { return 0.2126f * c.x + 0.7152f * c.y + 0.0722f * c.z; }
inline float axis_of(Vec3 a, int axis) { return axis == 0 ? a.x : axis == 1 ? a.y : a.z; }

// Two directions that are at right angles to the unit vector n and to each other
// (Duff et al. 2017: no branch, and no direction of n where it breaks down).
struct Frame {
  Vec3 tangent, bitangent, normal;
  Vec3 to_world(Vec3 v) const { return tangent * v.x + bitangent * v.y + normal * v.z; }
};
inline Frame frame_around(Vec3 n) {
  const float sign = std::copysign(1.0f, n.z);
  const float a = -1.0f / (sign + n.z);
  const float b = n.x * n.y * a;
  return {
      {1.0f + sign * n.x * n.x * a, sign * b, -sign * n.x}, {b, sign + n.y * n.y * a, -n.y}, n};
}

struct Box {
  Vec3 low{1e30f, 1e30f, 1e30f};
  Vec3 high{-1e30f, -1e30f, -1e30f};

  void grow(Vec3 p) {
    low = min(low, p);
    high = max(high, p);
  }
  void grow(const Box& b) {
    low = min(low, b.low);
    high = max(high, b.high);
  }
  Vec3 center() const { return (low + high) * 0.5f; }
  float half_area() const {
    const Vec3 d = high - low;
    return d.x < 0.0f ? 0.0f : d.x * d.y + d.y * d.z + d.z * d.x;
  }
};

struct Ray {
  Vec3 origin;
  Vec3 direction;  // unit length
};

}  // namespace raytrace
