// Reads scenes in Wavefront's OBJ format.
//
// Understood: v, vn, f (v, v/t, v//n, v/t/n, negative indices, polygons of convex shape), mtllib
// and usemtl; of materials Kd, Ke, Ks and Ns. Texture coordinates, groups, curves and the rest are
// passed over. Our own statements look like comments, so that other programs can read our scenes:
//
//   #!camera EX EY EZ  TX TY TZ  DEGREES [LENS_RADIUS]    (y is up)
//   #!sky    R G B  R G B                                 light from the horizon, from the zenith
//   #!exposure E
//   #!faces  N        the file has N f-lines and ends with a line end: a cut-off file is noticed
//
// and among the materials (.mtl):
//
//   #!checker R G B SIZE      every other square of the x-z plane has this diffuse colour
#pragma once

#include <string>
#include <string_view>

#include "core/mesh.h"
#include "core/outcome.h"

namespace raytrace {

// The file and the material libraries that it names. A library that is missing is only a warning.
// The error is one line that begins with the path and, where there is one, the line number.
Outcome<Mesh> read_obj(const std::string& path);

// The same from text; `name` stands in messages, `folder` is where material libraries are looked
// for.
Outcome<Mesh> parse_obj(std::string_view text, const std::string& name, const std::string& folder);

}  // namespace raytrace
