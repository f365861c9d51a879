#include "cells/component.h"
#include "cells/tiles.h"
#include "core/tile_loop.h"

namespace raytrace {

std::string scene_name(const hive::Session& session) {
  return "raytrace-scene-" + session.span_id();
}

std::string image_name(const hive::Session& session) {
  return "raytrace-image-" + session.span_id();
}

Step<HiveSource> work(Crew& crew, const hive::Segment& segment, hive::Segment& image,
                      Progress* progress) {
  // All pages now rather than one fault after the other while rays are traced.
  if (auto here = segment.touch(0, segment.size()); !here) {
    return crew.stop(here.error(), "cannot read the scene");
  }
  const auto scene = Scene::open({segment.data(), static_cast<std::size_t>(segment.size())});
  if (!scene) return Stop({exit_bad_input, scene.error()});
  const TileGrid grid(scene->settings());
  if (image.size() < grid.image_bytes()) return Stop({exit_bad_input, "the image is too small"});
  auto source = HiveSource::open(crew, grid.count(), progress);
  if (!source) return Stop(source.error());
  HiveSink sink(crew, image, grid);
  run_tiles(*scene, *source, sink);
  if (source->ended()) return Stop(*source->ended());
  if (sink.ended()) return Stop(*sink.ended());
  if (auto reported = source->report_rays(); !reported) return Stop(reported.error());
  return source;
}

Step<void> follow(Crew& crew) {
  const auto there = crew.await_scene();
  if (!there) return Stop(there.error());
  if (!*there) return Stop({exit_bad_input, ""});  // the leader says why
  auto scene = crew.session().open(scene_name(crew.session()), meet_wait);
  if (!scene) return crew.stop(scene.error(), "cannot open the scene");
  auto image = crew.session().open(image_name(crew.session()), meet_wait);
  if (!image) return crew.stop(image.error(), "cannot open the image");
  const auto source = work(crew, *scene, *image, nullptr);
  if (!source) return Stop(source.error());
  return crew.finish();
}

}  // namespace raytrace
