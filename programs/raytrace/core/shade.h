// How much light comes along a ray: a path tracer.
//
// At each hit the lamps are asked directly (one shadow ray), and the path goes on either off the
// clear coat, as a reflection, or off the coloured base, into the hemisphere. Light that is hit by
// chance counts only where it wasn't asked for directly, so that nothing is counted twice.
#pragma once

#include <cstdint>

#include "core/sampler.h"
#include "core/scene.h"
#include "core/vec.h"

namespace raytrace {

inline constexpr int path_hits_max = 8;
// Limits of what one sample may add once it was scattered: of all light, and of lamps whose
// reflection it found by chance (caustics). Those are so rare and bright that, unlimited, they are
// no patches of light but white dots.
inline constexpr float scattered_max = 4.0f;
inline constexpr float caustic_max = 0.3f;

// `rays` goes up by the number of rays that were cast.
Vec3 radiance(const Scene& scene, Ray ray, Sampler& sampler, std::uint64_t& rays);

// A colour that a screen shows: filmic curve, then the sRGB one. In [0, 1].
Vec3 tone_map(Vec3 light);

}  // namespace raytrace
