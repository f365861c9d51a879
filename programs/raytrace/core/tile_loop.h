// The loop of every worker, in both programs. What differs between threads that share everything
// and cells that share memory but not fate is behind its two seams: where tiles come from and
// where they go to.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

#include "core/tiles.h"

namespace raytrace {

// Hands out tiles, each to one worker. take() gives none when there is nothing more to do, be it
// because all is done or because something failed: the source remembers which. done() tells it
// that a tile is stored, and how many rays it took; false means to stop.
template <class T>
concept TileSource = requires(T source, std::uint32_t tile, std::uint64_t rays) {
  { source.take() } -> std::same_as<std::optional<std::uint32_t>>;
  { source.done(tile, rays) } -> std::same_as<bool>;
};

// Stores finished tiles. False means to stop; the sink remembers why.
template <class T>
concept TileSink = requires(T sink, std::uint32_t tile, const TileBuffer& pixels) {
  { sink.put(tile, pixels) } -> std::same_as<bool>;
};

// Renders tiles until none is left or something fails.
template <TileSource Source, TileSink Sink>
void run_tiles(const Scene& scene, Source& source, Sink& sink) {
  const TileGrid grid(scene.settings());
  TileBuffer pixels(grid.tile_bytes());
  while (const auto tile = source.take()) {
    std::uint64_t rays = 0;
    render_tile(scene, grid.rect(*tile), pixels, rays);
    if (!sink.put(*tile, pixels) || !source.done(*tile, rays)) break;
  }
}

}  // namespace raytrace
