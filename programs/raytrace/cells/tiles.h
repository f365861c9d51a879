// The two seams of the tile loop, as Hive has them: tiles come from a work queue that takes back
// what the dead had leased, and go into the image segment, stored by its home.
#pragma once

#include <hive/hive.h>

#include <optional>

#include "app/report.h"
#include "cells/crew.h"
#include "core/tile_loop.h"

namespace raytrace {

inline constexpr std::chrono::seconds take_wait{2};     // between two looks at who is alive
inline constexpr std::chrono::seconds stall_max{600};   // without a tile being finished by anybody
inline constexpr std::chrono::seconds window_wait{
    10};  // for a window that a dead worker still has

// Leases tiles. Its queue and its count of rays lie on the control segment.
class HiveSource {
 public:
  // `progress` is null but for the leader, which reports for all.
  static Step<HiveSource> open(Crew& crew, std::uint32_t tiles, Progress* progress);

  std::optional<std::uint32_t> take();
  bool done(std::uint32_t tile, std::uint64_t rays);

  const std::optional<Ended>& ended() const { return ended_; }
  Step<hive::WorkQueue::Progress> progress() const;
  // Adds the rays of this worker's tiles to those of all; those of a worker that dies are missing.
  Step<void> report_rays();
  Step<std::uint64_t> rays() const;

 private:
  HiveSource(Crew& crew, std::uint32_t tiles, hive::WorkQueue queue, hive::Counter rays,
             Progress* progress)
      : crew_(&crew),
        tiles_(tiles),
        queue_(std::move(queue)),
        rays_(std::move(rays)),
        progress_(progress) {}

  // The next tile; that of `finished_` is handed in by the same call.
  hive::Result<std::uint64_t> next();
  std::nullopt_t end(Ended ended);

  Crew* crew_;
  std::uint32_t tiles_;
  hive::WorkQueue queue_;
  hive::Counter rays_;
  Progress* progress_;
  std::uint64_t rays_done_ = 0;            // and not yet reported
  std::optional<std::uint32_t> finished_;  // and not yet handed in
  std::optional<Ended> ended_;
};

// Stores tiles through the home of the image. A tile that
// another worker tore while it died is reset and stored anew.
class HiveSink {
 public:
  HiveSink(const Crew& crew, hive::Segment& image, const TileGrid& grid)
      : crew_(&crew), image_(&image), grid_(grid) {}

  bool put(std::uint32_t tile, const TileBuffer& pixels);

  const std::optional<Ended>& ended() const { return ended_; }

 private:
  const Crew* crew_;
  hive::Segment* image_;
  TileGrid grid_;
  std::optional<Ended> ended_;
};

}  // namespace raytrace
