// raytrace: the tracer as a program of Hive. Run as
//
//   hive run -- raytrace                 one task, in one cell
//   hive run --span all -- raytrace      one component in each cell
//
// Component 0 leads: it reads the scene into a segment of its own cell, where all read it in
// place. Every component takes tiles from one queue and has the home of the picture store them.
#include <fmt/format.h>

#include "app/options.h"
#include "app/report.h"
#include "cells/component.h"

namespace raytrace {
namespace {

int run(const Options& options, bool survive) {
  const auto start = Clock::now();
  auto session = hive::attach();
  if (!session) {
    complain(fmt::format("cannot join a machine: {} (start it with: hive run -- raytrace ...)",
                         session.error().message()));
    return exit_bad_input;
  }
  auto crew = Crew::meet(*session, survive);
  const auto done = !crew           ? Step<void>(Stop(crew.error()))
                    : crew->leads() ? lead(*crew, options, start)
                                    : follow(*crew);
  if (done) return exit_good;
  if (!done.error().line.empty()) complain(done.error().line);
  return done.error().status;
}

}  // namespace
}  // namespace raytrace

int main(int argc, char** argv) {
  using namespace raytrace;
  CLI::App app("Ray tracer of triangle scenes, on a machine of cells", "raytrace");
  Options options;
  bool survive = false;
  add_options(app, options);
  app.add_flag("--survive", survive,
               "When another cell is lost, do its tiles again instead of giving up");
  if (const auto status = parse_options(app, options, argc, argv)) return *status;
  return run(options, survive);
}
