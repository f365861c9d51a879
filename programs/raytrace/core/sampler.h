// The random numbers of one sample of one pixel.
//
// They are a pure function of (pixel, sample, how many were drawn before): no state is carried
// from pixel to pixel. That is what makes a picture the same bit for bit whoever renders which
// tile, in whatever order, and what allows a lost tile to be done again elsewhere.
//
// The points are not independent: the samples of a pixel form a Sobol (0,2)-sequence for each pair
// drawn, scrambled by hashing (Burley 2020). Sixteen of them cover a light or a hemisphere evenly,
// which plain random numbers need several times as many for.
#pragma once

#include <cstdint>

#include "core/vec.h"

namespace raytrace {

// A good 32-bit mixer (Wellons' "lowbias32").
inline std::uint32_t mix(std::uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

inline std::uint32_t reverse_bits(std::uint32_t x) {
  x = __builtin_bswap32(x);
  x = ((x & 0x0f0f0f0fu) << 4) | ((x >> 4) & 0x0f0f0f0fu);
  x = ((x & 0x33333333u) << 2) | ((x >> 2) & 0x33333333u);
  return ((x & 0x55555555u) << 1) | ((x >> 1) & 0x55555555u);
}

// Owen's scrambling of a number whose bits are reversed: each bit is flipped depending on those
// below it only (Laine and Karras, with Vegdahl's constants).
inline std::uint32_t scramble_reversed(std::uint32_t x, std::uint32_t seed) {
  x ^= x * 0x3d20adeau;
  x += seed;
  x *= (seed >> 16) | 1u;
  x ^= x * 0x05526c56u;
  x ^= x * 0x53a22864u;
  return x;
}

// The second Sobol dimension, bits reversed: the index times Pascal's triangle modulo two.
inline std::uint32_t pascal(std::uint32_t x) {
  x ^= x >> 16;
  x ^= (x & 0xff00ff00u) >> 8;
  x ^= (x & 0xf0f0f0f0u) >> 4;
  x ^= (x & 0xccccccccu) >> 2;
  x ^= (x & 0xaaaaaaaau) >> 1;
  return x;
}

inline float unit_float(std::uint32_t bits) {  // in [0, 1)
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}

class Sampler {
 public:
  Sampler(std::uint32_t x, std::uint32_t y, std::uint32_t sample)
      : seed_(mix(x ^ mix(y ^ 0x9e3779b9u))), reversed_sample_(reverse_bits(sample)) {}

  Vec2 next2() {
    const std::uint32_t seed = draw();
    const std::uint32_t index = reverse_bits(scramble_reversed(reversed_sample_, seed));
    return {unit_float(reverse_bits(scramble_reversed(index, mix(seed ^ 0x68bc21ebu)))),
            unit_float(reverse_bits(scramble_reversed(pascal(index), mix(seed ^ 0x02e5be93u))))};
  }

  float next1() {
    const std::uint32_t seed = draw();
    const std::uint32_t index = reverse_bits(scramble_reversed(reversed_sample_, seed));
    return unit_float(reverse_bits(scramble_reversed(index, mix(seed ^ 0x68bc21ebu))));
  }

 private:
  std::uint32_t draw() { return mix(seed_ + 0x9e3779b9u * ++drawn_); }

  std::uint32_t seed_;
  std::uint32_t reversed_sample_;
  std::uint32_t drawn_ = 0;
};

}  // namespace raytrace
