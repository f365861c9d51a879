// Reads a material library (.mtl) of a scene in OBJ format; see obj.h for what is understood.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/mesh.h"
#include "core/outcome.h"

namespace raytrace {

// Material names, and their places in Mesh::materials.
using MaterialNames = std::unordered_map<std::string, std::uint32_t>;

// Appends the materials of `text` to `mesh` and their names to `names`.
Outcome<void> parse_mtl(std::string_view text, const std::string& name, Mesh& mesh,
                        MaterialNames& names);

}  // namespace raytrace
