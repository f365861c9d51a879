// A picture is the same bit for bit whoever renders which tile, and however it is cut.
#include "core/tiles.h"

#include <atomic>
#include <numeric>
#include <thread>

#include "core/tile_loop.h"
#include "tests/fixtures.h"

namespace raytrace {
namespace {

Settings small_picture(std::uint32_t tile_size = 16) { return {75, 50, 3, tile_size}; }

struct ListSource {
  std::vector<std::uint32_t>& order;
  std::atomic<std::size_t>& next;
  std::optional<std::uint32_t> take() {
    const std::size_t i = next++;
    return i < order.size() ? std::optional(order[i]) : std::nullopt;
  }
  bool done(std::uint32_t, std::uint64_t) { return true; }
};

struct VectorSink {
  std::vector<std::uint8_t>& image;
  const TileGrid& grid;
  bool put(std::uint32_t tile, const TileBuffer& pixels) {
    std::copy(pixels.begin(), pixels.end(),
              image.begin() + static_cast<std::ptrdiff_t>(grid.tile_offset(tile)));
    return true;
  }
};

std::vector<std::uint8_t> render(const std::string& scene_name, const Settings& settings,
                                 unsigned threads, bool backwards) {
  const Blob blob(must_prepare(shipped(scene_name), settings));
  const auto scene = Scene::open(blob.span());
  EXPECT_TRUE(scene.has_value());
  const TileGrid grid(settings);
  std::vector<std::uint8_t> image(grid.image_bytes(), 0xee);
  std::vector<std::uint32_t> order(grid.count());
  std::iota(order.begin(), order.end(), 0u);
  if (backwards) std::reverse(order.begin(), order.end());
  std::atomic<std::size_t> next{0};
  {
    std::vector<std::jthread> workers;
    for (unsigned i = 0; i < threads; ++i) {
      workers.emplace_back([&] {
        ListSource source{order, next};
        VectorSink sink{image, grid};
        run_tiles(*scene, source, sink);
      });
    }
  }
  std::vector<std::uint8_t> picture(std::size_t{3} * settings.width * settings.height);
  for (std::uint32_t tile = 0; tile < grid.count(); ++tile) {
    unpack_tile(settings, grid.rect(tile),
                std::span(image).subspan(grid.tile_offset(tile), grid.tile_bytes()), picture);
  }
  return picture;
}

TEST(Tiles, ThePictureDoesNotDependOnWorkersOrOrder) {
  for (const char* scene : {"teapot", "room"}) {
    const auto one = render(scene, small_picture(), 1, false);
    EXPECT_EQ(one, render(scene, small_picture(), 3, false)) << scene;
    EXPECT_EQ(one, render(scene, small_picture(), 2, true)) << scene;
  }
}

TEST(Tiles, ThePictureDoesNotDependOnTheSizeOfTiles) {
  EXPECT_EQ(render("teapot", small_picture(8), 1, false),
            render("teapot", small_picture(64), 1, false));
}

TEST(Tiles, ThePictureShowsSomething) {
  const auto picture = render("teapot", small_picture(), 1, false);
  const double mean =
      std::accumulate(picture.begin(), picture.end(), 0.0) / static_cast<double>(picture.size());
  EXPECT_GT(mean, 40.0);
  EXPECT_LT(mean, 215.0);
}

TEST(Tiles, EachIsPaddedToWholePagesAndTheDefaultIsOnePage) {
  EXPECT_EQ(TileGrid(Settings{}).tile_bytes(), 4096u);
  for (const std::uint32_t edge : {8u, 31u, 32u, 37u, 64u, 512u}) {
    const TileGrid grid({640, 480, 1, edge});
    EXPECT_EQ(grid.tile_bytes() % tile_alignment, 0u);
    EXPECT_GE(grid.tile_bytes(), std::size_t{3} * edge * edge);
    EXPECT_EQ(grid.tile_offset(grid.count() - 1) + grid.tile_bytes(), grid.image_bytes());
  }
}

TEST(Tiles, CoverEveryPixelOnce) {
  const Settings settings{101, 67, 1, 32};
  const TileGrid grid(settings);
  std::vector<int> covered(std::size_t{settings.width} * settings.height);
  for (std::uint32_t tile = 0; tile < grid.count(); ++tile) {
    const TileRect r = grid.rect(tile);
    for (std::uint32_t y = r.y; y < r.y + r.height; ++y) {
      for (std::uint32_t x = r.x; x < r.x + r.width; ++x) ++covered[y * settings.width + x];
    }
  }
  EXPECT_EQ(std::count(covered.begin(), covered.end(), 1),
            static_cast<std::ptrdiff_t>(covered.size()));
}

TEST(Tiles, PaddingIsZero) {
  const Settings settings{20, 20, 1, 16};
  const Blob blob(must_prepare(shipped("teapot"), settings));
  const auto scene = Scene::open(blob.span());
  const TileGrid grid(settings);
  TileBuffer pixels(grid.tile_bytes(), 0xee);
  std::uint64_t rays = 0;
  render_tile(*scene, grid.rect(3), pixels, rays);  // the corner: 4 x 4 pixels
  EXPECT_TRUE(std::all_of(pixels.begin() + 48, pixels.end(), [](auto b) { return b == 0; }));
  EXPECT_GT(rays, 16u);
}

}  // namespace
}  // namespace raytrace
