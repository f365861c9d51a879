// The Utah teapot, from the Bezier patches that Martin Newell drew up in 1975 (with the flat
// bottom that was added later).
//
// The classic data set lists 32 patches over 306 points. Most of it is redundant: lid, rim, body
// and bottom are profiles turned about the axis in four quarter circles, handle and spout are
// mirrored. Here only what remains is written down. Newell's z axis points up; ours is y.
#include "scenes/model.h"

namespace raytrace::scenes {
namespace {

struct ProfilePoint {
  float radius, height;
};

// Quarter circle as a cubic: Newell rounded 0.5523 to 0.56.
constexpr float quarter = 0.56f;

constexpr ProfilePoint profiles[][4] = {
    {{0.0f, 3.15f}, {0.8f, 3.15f}, {0.0f, 2.85f}, {0.2f, 2.7f}},             // knob of the lid
    {{0.2f, 2.7f}, {0.4f, 2.55f}, {1.3f, 2.55f}, {1.3f, 2.4f}},              // lid
    {{1.4f, 2.4f}, {1.3375f, 2.53125f}, {1.4375f, 2.53125f}, {1.5f, 2.4f}},  // rim
    {{1.5f, 2.4f}, {1.75f, 1.875f}, {2.0f, 1.35f}, {2.0f, 0.9f}},            // upper body
    {{2.0f, 0.9f}, {2.0f, 0.45f}, {1.5f, 0.225f}, {1.5f, 0.15f}},            // lower body
    {{1.5f, 0.15f}, {1.5f, 0.075f}, {1.425f, 0.0f}, {0.0f, 0.0f}},           // bottom
};

// Half of a tube's patch: the outline of its side in the x-z plane (outer, then inner), and how
// wide it is there. The two points between them are those pushed out sideways by the width.
struct TubePoint {
  float outer_x, outer_z, inner_x, inner_z, width;
};

constexpr TubePoint tubes[][4] = {
    // handle, upper part, lower part
    {{-1.6f, 2.025f, -1.5f, 2.25f, 0.3f},
     {-2.3f, 2.025f, -2.5f, 2.25f, 0.3f},
     {-2.7f, 2.025f, -3.0f, 2.25f, 0.3f},
     {-2.7f, 1.8f, -3.0f, 1.8f, 0.3f}},
    {{-2.7f, 1.8f, -3.0f, 1.8f, 0.3f},
     {-2.7f, 1.575f, -3.0f, 1.35f, 0.3f},
     {-2.5f, 1.125f, -2.65f, 0.9375f, 0.3f},
     {-2.0f, 0.9f, -1.9f, 0.6f, 0.3f}},
    // spout, lower part, upper part with its lip
    {{1.7f, 1.425f, 1.7f, 0.6f, 0.66f},
     {2.6f, 1.425f, 3.1f, 0.825f, 0.66f},
     {2.3f, 2.1f, 2.4f, 2.025f, 0.25f},
     {2.7f, 2.4f, 3.3f, 2.4f, 0.25f}},
    {{2.7f, 2.4f, 3.3f, 2.4f, 0.25f},
     {2.8f, 2.475f, 3.525f, 2.49375f, 0.25f},
     {2.9f, 2.475f, 3.45f, 2.5125f, 0.15f},
     {2.8f, 2.4f, 3.2f, 2.4f, 0.15f}},
};

using Patch = std::array<std::array<Vec3, 4>, 4>;  // [along][across]

Patch turned_patch(const ProfilePoint (&profile)[4], int quadrant) {
  const float a = static_cast<float>(quadrant) * pi / 2.0f;
  const float c = std::round(std::cos(a)), s = std::round(std::sin(a));
  constexpr float arc[4][2] = {{1.0f, 0.0f}, {1.0f, quarter}, {quarter, 1.0f}, {0.0f, 1.0f}};
  Patch patch;
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) {
      const float x = arc[j][0] * profile[i].radius, z = arc[j][1] * profile[i].radius;
      patch[i][j] = {c * x + s * z, profile[i].height, c * z - s * x};
    }
  }
  return patch;
}

Patch tube_patch(const TubePoint (&tube)[4], float side) {
  Patch patch;
  for (int i = 0; i < 4; ++i) {
    const TubePoint& t = tube[i];
    patch[i] = {{{t.outer_x, t.outer_z, 0.0f},
                 {t.outer_x, t.outer_z, side * t.width},
                 {t.inner_x, t.inner_z, side * t.width},
                 {t.inner_x, t.inner_z, 0.0f}}};
  }
  return patch;
}

// Value and slope of a cubic Bezier curve at t.
struct CurvePoint {
  Vec3 value, slope;
};
CurvePoint curve(const std::array<Vec3, 4>& p, float t) {
  const float s = 1.0f - t;
  return {
      p[0] * (s * s * s) + p[1] * (3 * s * s * t) + p[2] * (3 * s * t * t) + p[3] * (t * t * t),
      (p[1] - p[0]) * (3 * s * s) + (p[2] - p[1]) * (6 * s * t) + (p[3] - p[2]) * (3 * t * t)};
}

struct PatchPoint {
  Vec3 position, across;  // `across` is not normalized
};
PatchPoint evaluate(const Patch& patch, float u, float v) {
  std::array<Vec3, 4> value, slope;
  for (int i = 0; i < 4; ++i) {
    const CurvePoint c = curve(patch[i], v);
    value[i] = c.value;
    slope[i] = c.slope;
  }
  const CurvePoint along = curve(value, u);
  return {along.value, cross(along.slope, curve(slope, u).value)};
}

void add_patch(Model& model, const Patch& patch, const Placement& placement, int cells) {
  std::vector<Vec3> points, normals;
  for (int i = 0; i <= cells; ++i) {
    for (int j = 0; j <= cells; ++j) {
      const float u = static_cast<float>(i) / static_cast<float>(cells);
      const float v = static_cast<float>(j) / static_cast<float>(cells);
      const Vec3 position = evaluate(patch, u, v).position;
      Vec3 n = evaluate(patch, u, v).across;
      // At the poles a row of the patch is one point and has no slope: look just beside it.
      if (length(n) < 1e-4f) n = evaluate(patch, std::clamp(u, 1e-3f, 1.0f - 1e-3f), v).across;
      points.push_back(placement.point(position));
      normals.push_back(placement.direction(normalize(n)));
    }
  }
  model.grid(cells + 1, cells + 1, points, normals);
}

}  // namespace

void Model::teapot(const Placement& placement, int cells) {
  for (const auto& profile : profiles) {
    for (int quadrant = 0; quadrant < 4; ++quadrant) {
      add_patch(*this, turned_patch(profile, quadrant), placement, cells);
    }
  }
  for (const auto& tube : tubes) {
    add_patch(*this, tube_patch(tube, 1.0f), placement, cells);
    add_patch(*this, tube_patch(tube, -1.0f), placement, cells);
  }
}

}  // namespace raytrace::scenes
