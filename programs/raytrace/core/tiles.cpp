#include "core/tiles.h"

#include <cmath>
#include <cstring>

#include "core/shade.h"

namespace raytrace {
namespace {

// Where in a pixel's neighbourhood a sample falls: with a tent's density, two pixels wide.
// Smoother edges than from a plain square, and no pixel needs to know of samples made for another.
float tent(float random) {
  const float r = 2.0f * random;
  return r < 1.0f ? std::sqrt(r) - 1.0f : 1.0f - std::sqrt(2.0f - r);
}

Vec2 on_disc(Vec2 random) {
  const float r = std::sqrt(random.x), angle = 2.0f * pi * random.y;
  return {r * std::cos(angle), r * std::sin(angle)};
}

Vec3 pixel(const Scene& scene, std::uint32_t x, std::uint32_t y, std::uint64_t& rays) {
  const SceneHeader& h = scene.header();
  Vec3 sum{0.0f, 0.0f, 0.0f};
  for (std::uint32_t sample = 0; sample < h.settings.samples; ++sample) {
    Sampler sampler(x, y, sample);
    const Vec2 in_pixel = sampler.next2(), in_lens = sampler.next2();
    const float px = static_cast<float>(x) + 0.5f + tent(in_pixel.x);
    const float py = static_cast<float>(y) + 0.5f + tent(in_pixel.y);
    const Ray ray = h.camera.ray(px / static_cast<float>(h.settings.width),
                                 py / static_cast<float>(h.settings.height), on_disc(in_lens));
    const Vec3 light = radiance(scene, ray, sampler, rays);
    const float total = light.x + light.y + light.z;
    if (std::isfinite(total)) sum += light;  // one sample gone wrong must not blacken a pixel
  }
  return sum * (h.exposure / static_cast<float>(h.settings.samples));
}

std::uint8_t to_byte(float unit) { return static_cast<std::uint8_t>(std::lround(unit * 255.0f)); }

}  // namespace

void render_tile(const Scene& scene, const TileRect& rect, TileBuffer& out, std::uint64_t& rays) {
  std::fill(out.begin(), out.end(), std::uint8_t{0});
  std::size_t at = 0;
  for (std::uint32_t y = rect.y; y < rect.y + rect.height; ++y) {
    for (std::uint32_t x = rect.x; x < rect.x + rect.width; ++x) {
      const Vec3 c = tone_map(pixel(scene, x, y, rays));
      out[at++] = to_byte(c.x);
      out[at++] = to_byte(c.y);
      out[at++] = to_byte(c.z);
    }
  }
}

void unpack_tile(const Settings& settings, const TileRect& rect,
                 std::span<const std::uint8_t> tile, std::span<std::uint8_t> picture) {
  const std::size_t row_bytes = std::size_t{3} * rect.width;
  for (std::uint32_t row = 0; row < rect.height; ++row) {
    const std::size_t to = (std::size_t{rect.y + row} * settings.width + rect.x) * 3;
    std::memcpy(picture.data() + to, tile.data() + row * row_bytes, row_bytes);
  }
}

}  // namespace raytrace
