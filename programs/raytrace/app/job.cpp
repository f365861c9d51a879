#include "app/job.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/obj.h"
#include "core/png_file.h"
#include "core/tiles.h"

namespace raytrace {

Outcome<SceneParts> load_scene(const Options& options) {
  auto mesh = read_obj(options.scene);
  if (!mesh) return problem(mesh.error());
  if (!options.quiet) {
    for (const std::string& warning : mesh->warnings) complain("warning: " + warning);
  }
  auto parts = prepare_scene(std::move(*mesh), options.settings);
  if (!parts) return problem(fmt::format("{}: {}", options.scene, parts.error()));
  return parts;
}

Outcome<void> check_output(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return problem(fmt::format("{}: is a directory", path));
  }
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (access(folder.empty() ? "." : folder.c_str(), W_OK) == 0) return {};
  return problem(fmt::format("{}: {}", path, std::strerror(errno)));
}

Outcome<void> write_picture(const Settings& settings, std::span<const std::uint8_t> tiles,
                            const std::string& path) {
  const TileGrid grid(settings);
  std::vector<std::uint8_t> picture(std::size_t{3} * settings.width * settings.height);
  for (std::uint32_t tile = 0; tile < grid.count(); ++tile) {
    unpack_tile(settings, grid.rect(tile),
                tiles.subspan(grid.tile_offset(tile), grid.tile_bytes()), picture);
  }
  return write_png(path, settings.width, settings.height, picture);
}

}  // namespace raytrace
