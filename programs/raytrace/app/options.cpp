#include "app/options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "core/text.h"
#include "core/tiles.h"

namespace raytrace {
namespace {

namespace fs = std::filesystem;

// "WxH", both in range.
bool parse_size(std::string_view text, Settings& settings) {
  std::int64_t width = 0, height = 0;
  if (!take_integer(text, width) || text.empty() || text.front() != 'x') return false;
  text.remove_prefix(1);
  if (!take_integer(text, height) || !text.empty()) return false;
  if (width < 1 || height < 1 || width > picture_edge_max || height > picture_edge_max)
    return false;
  settings.width = static_cast<std::uint32_t>(width);
  settings.height = static_cast<std::uint32_t>(height);
  return true;
}

// A path as given; or the name of a scene that lies beside the program or where it was installed.
std::string resolve_scene(const std::string& name) {
  std::error_code ignored;
  if (!name.empty() && fs::exists(name, ignored)) return name;
  const bool plain_name = name.find('/') == std::string::npos;
  const fs::path folder = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  const std::string file = (name.empty() ? "teapot" : name) + ".obj";
  for (const char* place : {"scenes", "../share/hive/scenes", "../../share/hive/scenes"}) {
    const fs::path path = folder / place / file;
    if (plain_name && fs::exists(path, ignored)) return path.lexically_normal().string();
  }
  return name.empty() ? (folder / "scenes" / file).string() : name;
}

}  // namespace

void complain(const std::string& text) {
  fmt::print(stderr, "raytrace: {}\n", text);
  std::fflush(stderr);
}

void add_options(CLI::App& app, Options& options) {
  Settings& s = options.settings;
  app.add_option("SCENE", options.scene,
                 "OBJ file, or the name of a shipped scene: teapot (default), room, teaset");
  app.add_option("--size", options.size, "Pixels of the picture, as WxH")->capture_default_str();
  app.add_option("--samples", s.samples, "Paths traced for each pixel")
      ->capture_default_str()
      ->check(CLI::Range(1u, samples_max));
  app.add_option("--tile", s.tile_size, "Edge of a tile in pixels")
      ->capture_default_str()
      ->check(CLI::Range(tile_edge_min, tile_edge_max));
  app.add_option("--output", options.output, "PNG file to write")->capture_default_str();
  app.add_flag("--quiet", options.quiet, "No progress, no closing report");
  app.add_flag("--json", options.json, "The closing report as JSON");
}

std::optional<int> parse_options(CLI::App& app, Options& options, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help
    complain(e.what());
    return exit_usage;
  }
  if (!parse_size(options.size, options.settings)) {
    complain(fmt::format("--size: '{}' is not WxH with 1 to {} pixels", options.size,
                         picture_edge_max));
    return exit_usage;
  }
  options.scene = resolve_scene(options.scene);
  return std::nullopt;
}

}  // namespace raytrace
