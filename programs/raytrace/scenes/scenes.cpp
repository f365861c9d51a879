// What is in the shipped scenes. Lengths are those of the teapot, which is 3.15 high.
#include <fmt/format.h>

#include "scenes/model.h"

namespace raytrace::scenes {
namespace {

constexpr const char* lamp_lines = "Kd 0 0 0\nKs 0 0 0\n";

void lamp(Model& m, const std::string& name, Vec3 center, Vec3 target, float half, Vec3 light) {
  m.material(name, fmt::format("{}Ke {} {} {}", lamp_lines, light.x, light.y, light.z));
  const Frame f = frame_around(normalize(target - center));
  const Vec3 a = f.tangent * half, b = f.bitangent * half;
  m.quad(center - a - b, center + a - b, center + a + b, center - a + b);
}

void ground(Model& m, float half) {
  m.quad({-half, 0.0f, half}, {half, 0.0f, half}, {half, 0.0f, -half}, {-half, 0.0f, -half});
}

}  // namespace

// A porcelain teapot on a chequered floor, a soft lamp at the left, evening sky.
Model teapot_scene() {
  Model m;
  m.head("#!camera 3.3 5.3 8.7  0.32 1.22 0  30 0.05");
  m.head("#!sky 0.30 0.30 0.36  0.05 0.09 0.20");
  m.head("#!exposure 1.0");
  m.material("floor",
             "Kd 0.66 0.63 0.58\nKs 0.03 0.03 0.03\nNs 900\n#!checker 0.10 0.13 0.17 1.5");
  ground(m, 60.0f);
  lamp(m, "lamp", {-6.5f, 8.5f, 5.0f}, {0.0f, 1.0f, 0.0f}, 1.9f, {21.0f, 18.4f, 14.6f});
  m.material("porcelain", "Kd 0.78 0.17 0.05\nKs 0.05 0.05 0.05\nNs 3000");
  m.teapot({{0.0f, 0.003f, 0.0f}, 1.0f, 12.0f}, 18);
  return m;
}

// A room open to the viewer: red and green walls, a lamp in the ceiling, a mirror ball, a glossy
// ball, and a small teapot on a box.
Model room_scene() {
  Model m;
  m.head("#!camera 0 5 19.0  0 4.9 0  37.5");
  m.head("#!exposure 1.3");
  m.material("white", "Kd 0.74 0.72 0.68\nKs 0 0 0");
  m.quad({-6.7f, 0, 5}, {6.7f, 0, 5}, {6.7f, 0, -5}, {-6.7f, 0, -5});
  m.quad({-6.7f, 10, -5}, {6.7f, 10, -5}, {6.7f, 10, 5}, {-6.7f, 10, 5});
  m.quad({-6.7f, 0, -5}, {6.7f, 0, -5}, {6.7f, 10, -5}, {-6.7f, 10, -5});
  m.material("red", "Kd 0.63 0.08 0.06\nKs 0 0 0");
  m.quad({-6.7f, 0, 5}, {-6.7f, 0, -5}, {-6.7f, 10, -5}, {-6.7f, 10, 5});
  m.material("green", "Kd 0.13 0.42 0.11\nKs 0 0 0");
  m.quad({6.7f, 0, -5}, {6.7f, 0, 5}, {6.7f, 10, 5}, {6.7f, 10, -5});
  m.material("lamp", fmt::format("{}Ke 17 14.2 10.4", lamp_lines));
  m.quad({-1.6f, 9.98f, -1.4f}, {1.6f, 9.98f, -1.4f}, {1.6f, 9.98f, 1.4f}, {-1.6f, 9.98f, 1.4f});
  m.material("mirror", "Kd 0 0 0\nKs 0.93 0.93 0.93\nNs 10000");
  m.sphere({-2.5f, 1.7f, -1.9f}, 1.7f);
  m.material("gold", "Kd 0 0 0\nKs 0.95 0.68 0.30\nNs 120");
  m.sphere({-0.6f, 0.95f, 2.3f}, 0.95f);
  m.material("blue", "Kd 0.08 0.16 0.45\nKs 0.05 0.05 0.05\nNs 2000");
  m.sphere({-3.4f, 0.7f, 2.6f}, 0.7f);
  m.material("plinth", "Kd 0.70 0.68 0.64\nKs 0 0 0");
  m.box({1.75f, 1.7f, 1.75f}, {{2.1f, 0.0f, -0.9f}, 1.0f, -17.0f});
  m.material("porcelain", "Kd 0.80 0.79 0.76\nKs 0.05 0.05 0.05\nNs 2000");
  m.teapot({{2.1f, 3.403f, -0.9f}, 0.62f, 28.0f}, 14);
  return m;
}

// Five teapots of five materials.
Model teaset_scene() {
  Model m;
  m.head("#!camera 1.5 9.0 17.0  0.1 0.95 0  33.5 0.07");
  m.head("#!sky 0.34 0.30 0.30  0.06 0.09 0.17");
  m.head("#!exposure 0.9");
  m.material("floor", "Kd 0.50 0.47 0.44\nKs 0.04 0.04 0.04\nNs 300");
  ground(m, 80.0f);
  lamp(m, "lamp", {-9.0f, 13.0f, 7.0f}, {0.0f, 1.0f, 0.0f}, 3.0f, {14.0f, 12.8f, 11.0f});
  const struct {
    const char *name, *lines;
    Vec3 position;
    float scale, turn;
  } pots[] = {
      {"silver", "Kd 0 0 0\nKs 0.92 0.92 0.90\nNs 10000", {0.0f, 0, -1.6f}, 1.15f, 20.0f},
      {"celadon",
       "Kd 0.28 0.52 0.42\nKs 0.05 0.05 0.05\nNs 3000",
       {-5.4f, 0, -0.4f},
       0.9f,
       -30.0f},
      {"copper", "Kd 0 0 0\nKs 0.93 0.56 0.40\nNs 260", {5.0f, 0, -0.9f}, 0.88f, 140.0f},
      {"cobalt", "Kd 0.05 0.10 0.38\nKs 0.05 0.05 0.05\nNs 3000", {-2.3f, 0, 3.5f}, 0.6f, 40.0f},
      {"clay", "Kd 0.58 0.25 0.15\nKs 0 0 0", {2.9f, 0, 3.3f}, 0.6f, -25.0f},
  };
  for (const auto& pot : pots) {
    m.material(pot.name, pot.lines);
    m.teapot({pot.position + Vec3{0.0f, 0.003f, 0.0f}, pot.scale, pot.turn}, 16);
  }
  return m;
}

}  // namespace raytrace::scenes
