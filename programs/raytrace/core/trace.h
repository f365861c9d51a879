// What does a ray hit? The innermost loops of the program: they allocate nothing and lock nothing.
#pragma once

#include <cstdint>

#include "core/scene.h"
#include "core/vec.h"

namespace raytrace {

struct Hit {
  float distance;
  float u, v;  // where in the triangle: the weights of its second and third corner
  std::uint32_t triangle;
};

// The nearest hit before `reach`. False if there is none.
bool nearest_hit(const Scene& scene, const Ray& ray, float reach, Hit& hit);

// Whether anything lies before `reach`. Faster: it stops at the first hit that it finds.
bool any_hit(const Scene& scene, const Ray& ray, float reach);

}  // namespace raytrace
