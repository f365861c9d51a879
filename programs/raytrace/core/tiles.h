// The picture is cut into square tiles, and each tile is stored by itself.
//
// A tile in memory is its rows of 8-bit RGB, padded to whole pages of 4 KiB. Pages are what Hive
// protects, so a tile is what one worker can have open for stores while no other has a store to
// make anywhere in it, and what is lost when the worker dies. At the default size of 32 x 32 it is
// one page. Tiles at the right and lower border may be smaller; they are stored like the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/scene.h"

namespace raytrace {

inline constexpr std::uint32_t picture_edge_max = 16384;
inline constexpr std::uint32_t samples_max = 65536;
inline constexpr std::uint32_t tile_edge_min = 8;
inline constexpr std::uint32_t tile_edge_max = 512;
inline constexpr std::size_t tile_alignment = 4096;

struct TileRect {
  std::uint32_t x, y, width, height;
};

class TileGrid {
 public:
  explicit TileGrid(const Settings& s)
      : settings_(s),
        columns_((s.width + s.tile_size - 1) / s.tile_size),
        rows_((s.height + s.tile_size - 1) / s.tile_size) {}

  std::uint32_t count() const { return columns_ * rows_; }
  // From the middle of the picture outwards would be prettier to watch; row by row keeps tiles
  // that are worked on at the same time close together, and with them the parts of the scene they
  // need.
  TileRect rect(std::uint32_t tile) const {
    const std::uint32_t x = tile % columns_ * settings_.tile_size;
    const std::uint32_t y = tile / columns_ * settings_.tile_size;
    return {x, y, std::min(settings_.tile_size, settings_.width - x),
            std::min(settings_.tile_size, settings_.height - y)};
  }
  std::size_t tile_bytes() const {  // padded
    const std::size_t raw = std::size_t{3} * settings_.tile_size * settings_.tile_size;
    return (raw + tile_alignment - 1) / tile_alignment * tile_alignment;
  }
  std::size_t tile_offset(std::uint32_t tile) const { return tile * tile_bytes(); }
  std::size_t image_bytes() const { return count() * tile_bytes(); }

 private:
  Settings settings_;
  std::uint32_t columns_, rows_;
};

// A tile's worth of private memory, padding included (always zero).
using TileBuffer = std::vector<std::uint8_t>;

// Renders one tile into `out`, which is grid.tile_bytes() long. `rays` goes up by what was cast.
void render_tile(const Scene& scene, const TileRect& rect, TileBuffer& out, std::uint64_t& rays);

// Puts a stored tile into its place in a picture of plain rows (width * height * 3 bytes).
void unpack_tile(const Settings& settings, const TileRect& rect,
                 std::span<const std::uint8_t> tile, std::span<std::uint8_t> picture);

}  // namespace raytrace
