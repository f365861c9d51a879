// Writes a picture as a PNG file.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/outcome.h"

namespace raytrace {

// `rgb` holds width * height * 3 bytes, row by row from the top. The file appears whole or not at
// all: it is written beside its place and then moved there. No time stamp is put in, so the same
// picture gives the same file.
Outcome<void> write_png(const std::string& path, std::uint32_t width, std::uint32_t height,
                        std::span<const std::uint8_t> rgb);

}  // namespace raytrace
