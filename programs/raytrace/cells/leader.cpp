#include <fmt/format.h>

#include "app/job.h"
#include "cells/component.h"
#include "cells/tiles.h"
#include "core/tile_loop.h"

namespace raytrace {
namespace {

struct Stage {
  hive::Segment scene;
  hive::Segment image;
  std::uint64_t triangles;
};

// Reads the scene and writes it, through one window, to where all cells can read it in place.
Step<Stage> prepare(Crew& crew, const Options& options) {
  const auto bad = [](std::string line) { return Stop({exit_bad_input, std::move(line)}); };
  if (const auto good = check_output(options.output); !good) return bad(good.error());
  const auto parts = load_scene(options);
  if (!parts) return bad(parts.error());
  hive::Session& session = crew.session();
  auto scene = session.create(scene_name(session), parts->header.bytes);
  if (!scene) return crew.stop(scene.error(), "cannot create the scene's segment");
  auto window = scene->write(0, parts->header.bytes);
  if (!window) return crew.stop(window.error(), "cannot write the scene");
  write_scene(*parts, window->data());
  if (auto closed = window->commit(); !closed) {
    return crew.stop(closed.error(), "cannot write the scene");
  }
  const TileGrid grid(options.settings);
  auto image = session.create(image_name(session), grid.image_bytes());
  if (!image) return crew.stop(image.error(), "cannot create the image's segment");
  return Stage{std::move(*scene), std::move(*image), parts->header.triangles.count};
}

// Copies all tiles out. One that is lost although it was handed in is rendered once more, here.
Step<std::uint64_t> collect(Crew& crew, Stage& stage, std::vector<std::uint8_t>& tiles) {
  const auto scene =
      Scene::open({stage.scene.data(), static_cast<std::size_t>(stage.scene.size())});
  if (!scene) return Stop({exit_bad_input, scene.error()});
  const TileGrid grid(scene->settings());
  tiles.resize(grid.image_bytes());
  TileBuffer again(grid.tile_bytes());
  std::uint64_t done_again = 0, rays = 0;
  for (std::uint32_t tile = 0; tile < grid.count(); ++tile) {
    const auto place = std::span(tiles).subspan(grid.tile_offset(tile), grid.tile_bytes());
    const auto copied = stage.image.read(grid.tile_offset(tile), std::as_writable_bytes(place));
    if (copied) continue;
    if (copied.error().code != hive::Code::lost) {
      return crew.stop(copied.error(), "cannot read the image");
    }
    render_tile(*scene, grid.rect(tile), again, rays);
    std::copy(again.begin(), again.end(), place.begin());
    ++done_again;
  }
  return done_again;
}

}  // namespace

Step<void> lead(Crew& crew, const Options& options, Clock::time_point start) {
  Report report;
  auto stage = prepare(crew, options);
  report.load_s = seconds_since(start);
  if (auto told = crew.announce(stage.has_value()); !told && stage) return told;
  if (!stage) return Stop(stage.error());

  const auto render_start = Clock::now();
  std::optional<Progress> progress;
  progress.emplace(TileGrid(options.settings).count(), options.quiet);
  const auto source = work(crew, stage->scene, stage->image, &*progress);
  progress.reset();  // before anything else is printed
  if (!source) return Stop(source.error());
  report.render_s = seconds_since(render_start);
  if (auto all = crew.finish(); !all) return all;

  std::vector<std::uint8_t> tiles;
  const auto lost_at_last = collect(crew, *stage, tiles);
  if (!lost_at_last) return Stop(lost_at_last.error());
  const auto queue = source->progress();
  if (!queue) return Stop(queue.error());
  const auto rays = source->rays();
  if (!rays) return Stop(rays.error());
  if (const auto good = write_picture(options.settings, tiles, options.output); !good) {
    return Stop({exit_bad_input, good.error()});
  }
  report.output = options.output;
  report.workers = static_cast<std::uint32_t>(crew.size());
  report.rays = *rays;
  report.tiles = TileGrid(options.settings).count();
  report.tiles_done_again = queue->handed_out_again + *lost_at_last;
  report.triangles = stage->triangles;
  report.total_s = seconds_since(start);
  if (!options.quiet || options.json) print_report(report, options.json);
  return {};
}

}  // namespace raytrace
