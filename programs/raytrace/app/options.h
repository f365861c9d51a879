// The command line that both programs share.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "core/scene.h"

namespace raytrace {

// Exit statuses of both programs.
enum Exit : int {
  exit_good = 0,
  exit_bad_input = 1,  // no such scene, not a scene, the picture cannot be written
  exit_usage = 2,
  exit_lost = 3,  // a cell that took part was lost (the Hive program only)
};

struct Options {
  std::string scene;  // empty: the shipped teapot
  std::string size = "640x480";
  Settings settings;
  std::string output = "raytrace.png";
  bool quiet = false;
  bool json = false;
};

// Adds the shared options to `app`; the values land in `options`, which outlives it.
void add_options(CLI::App& app, Options& options);

// Parses, checks, and resolves the size and the scene's path. Gives an exit status if the program
// should end now: after --help, or after a line about what is wrong.
std::optional<int> parse_options(CLI::App& app, Options& options, int argc, char** argv);

// Prints "program: text" to standard error as one line.
void complain(const std::string& text);

}  // namespace raytrace
