// raytrace-scenes FOLDER: writes the shipped scenes. Run by the build.
#include <fmt/format.h>

#include <cstdio>

#include "scenes/model.h"

int main(int argc, char** argv) {
  using namespace raytrace::scenes;
  if (argc != 2) {
    fmt::print(stderr, "usage: raytrace-scenes FOLDER\n");
    return 2;
  }
  const bool good = teapot_scene().write(argv[1], "teapot") &&
                    room_scene().write(argv[1], "room") && teaset_scene().write(argv[1], "teaset");
  if (!good) fmt::print(stderr, "raytrace-scenes: cannot write to {}\n", argv[1]);
  return good ? 0 : 1;
}
