// What a component does: the leader, which begins and ends the picture, and the others.
#pragma once

#include "app/options.h"
#include "app/report.h"
#include "cells/crew.h"

namespace raytrace {

class HiveSource;

// Both print nothing but the leader's report; what goes wrong is returned.
Step<void> lead(Crew& crew, const Options& options, Clock::time_point start);
Step<void> follow(Crew& crew);

// The part that all share: opens the scene in place and works on tiles until none is left. Gives
// back the source, which knows how much was done. `progress` may be null.
Step<HiveSource> work(Crew& crew, const hive::Segment& scene_segment, hive::Segment& image,
                      Progress* progress);

std::string scene_name(const hive::Session& session);
std::string image_name(const hive::Session& session);

}  // namespace raytrace
