// The steps that both programs take before and after the tiles.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "app/options.h"
#include "core/outcome.h"
#include "core/scene.h"

namespace raytrace {

// Reads the scene file and builds everything. Prints the file's warnings unless told to be quiet.
Outcome<SceneParts> load_scene(const Options& options);

// Whether the output could be created where it is wanted: asked before the work, not after.
Outcome<void> check_output(const std::string& path);

// Puts all stored tiles (tile-major, see tiles.h) together and writes the file.
Outcome<void> write_picture(const Settings& settings, std::span<const std::uint8_t> tiles,
                            const std::string& path);

}  // namespace raytrace
