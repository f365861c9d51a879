// Completes what a file leaves out, so that any OBJ file gives a picture worth looking at.
#pragma once

#include "core/mesh.h"

namespace raytrace {

// Removes triangles without area. Fails nothing: what is left may be empty.
void drop_degenerate(Mesh& mesh);

// Gives every corner that has no normal one: the mean of the faces around its vertex that are
// turned less than a crease away from its own face.
void smooth_normals(Mesh& mesh);

// If the file has no #!camera: one that sees everything, and a ground under it. If nothing in it
// sends out light: a sky and a soft lamp.
void furnish(Mesh& mesh);

}  // namespace raytrace
