#include "core/shade.h"

#include "core/surface.h"
#include "core/trace.h"

namespace raytrace {
namespace {

constexpr float reach_max = 1e30f;
constexpr Vec3 black{0.0f, 0.0f, 0.0f};

Vec3 sky_light(const SceneHeader& h, Vec3 direction) {
  return lerp(h.sky.horizon, h.sky.zenith, std::sqrt(std::max(0.0f, direction.y)));
}

const Light& pick_light(std::span<const Light> lights, float random) {
  std::size_t low = 0, high = lights.size() - 1;
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (random < lights[middle].cumulative) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return lights[low];
}

// Light that one point of one lamp sends to the coloured base of `s`, over its probability.
Vec3 lamp_light(const Scene& scene, const Surface& s, Vec3 start, Vec2 random, float pick,
                std::uint64_t& rays) {
  const Light& light = pick_light(scene.lights(), pick);
  const Triangle& t = scene.triangle(light.triangle);
  const Vec3 a = scene.vertex(t.vertex[0]);
  const Vec3 edge1 = scene.vertex(t.vertex[1]) - a, edge2 = scene.vertex(t.vertex[2]) - a;
  const float root = std::sqrt(random.x);
  const Vec3 target = a + edge1 * (root * (1.0f - random.y)) + edge2 * (root * random.y);
  const Vec3 way = target - start;
  const float distance = length(way);
  const Vec3 direction = way / distance;
  const float cosine = dot(direction, s.normal);
  const float lamp_cosine = -dot(direction, normalize(cross(edge1, edge2)));
  if (!(cosine > 0.0f) || !(lamp_cosine > 0.0f) || dot(direction, s.face) <= 0.0f) return black;
  ++rays;
  if (any_hit(scene, {start, direction}, distance * 0.9999f)) return black;
  const float weight = cosine * lamp_cosine * light.area /
                       (pi * distance * distance * std::max(light.probability, 1e-12f));
  return s.kd * scene.material(t.material).ke * weight;
}

}  // namespace

Vec3 radiance(const Scene& scene, Ray ray, Sampler& sampler, std::uint64_t& rays) {
  const SceneHeader& h = scene.header();
  Vec3 light = black, carried{1.0f, 1.0f, 1.0f};
  bool lamps_count = true;  // whether lamps that this ray hits were not asked directly before
  bool scattered = false;
  for (int hits = 0; hits < path_hits_max; ++hits) {
    const auto add = [&](Vec3 c, float limit) {
      light += scattered ? min(c, Vec3{limit, limit, limit}) : c;
    };
    Hit hit;
    ++rays;
    if (!nearest_hit(scene, ray, reach_max, hit)) {
      add(carried * sky_light(h, ray.direction), scattered_max);
      break;
    }
    const Surface s = surface_at(scene, ray, hit);
    const Material& m = *s.material;
    if (lamps_count && s.front) add(carried * m.ke, caustic_max);

    const Vec3 coat = coat_reflectance(m, -dot(ray.direction, s.normal));
    const Vec3 base = s.kd * (Vec3{1.0f, 1.0f, 1.0f} - coat);
    const float coat_weight = luminance(coat), base_weight = luminance(base);
    if (!(coat_weight + base_weight > 0.0f)) break;
    const Vec3 start = s.position + s.face * h.epsilon;
    // Drawn whether used or not, so that later draws keep their places in the sequence.
    const Vec2 on_lamp = sampler.next2(), around = sampler.next2();
    const float which_lamp = sampler.next1(), which_way = sampler.next1();
    if (base_weight > 0.0f && !scene.lights().empty()) {
      const Vec3 direct = lamp_light(scene, s, start, on_lamp, which_lamp, rays);
      add(carried * direct * (Vec3{1.0f, 1.0f, 1.0f} - coat), scattered_max);
    }
    float chance = coat_weight / (coat_weight + base_weight);
    if (coat_weight > 0.0f && base_weight > 0.0f) chance = std::clamp(chance, 0.25f, 0.75f);
    if (which_way < chance) {
      ray = {start, reflected_direction(s, ray.direction, around)};
      carried *= coat / chance;
      lamps_count = true;
    } else {
      ray = {start, diffuse_direction(s.normal, around)};
      if (dot(ray.direction, s.face) <= 0.0f) break;
      carried *= base / (1.0f - chance);
      lamps_count = false;
      scattered = true;
    }
    // A dim path is ended by chance, and what survives carries the weight of what was ended.
    const float strength = largest(carried);
    if (hits >= 2 && strength < 0.7f) {
      const float survival = std::max(strength / 0.7f, 0.05f);
      if (sampler.next1() >= survival) break;
      carried = carried / survival;
    }
  }
  return light;
}

Vec3 tone_map(Vec3 light) {
  const auto curve = [](float x) {
    // Narkowicz's fit of the ACES film curve, then the transfer function of sRGB.
    x = std::max(x, 0.0f) * 0.8f;
    x = std::min((x * (2.51f * x + 0.03f)) / (x * (2.43f * x + 0.59f) + 0.14f), 1.0f);
    return x <= 0.0031308f ? 12.92f * x : 1.055f * std::pow(x, 1.0f / 2.4f) - 0.055f;
  };
  return {curve(light.x), curve(light.y), curve(light.z)};
}

}  // namespace raytrace
