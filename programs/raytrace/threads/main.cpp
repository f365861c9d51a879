// raytrace-threads: the tracer as an ordinary threaded Linux program, without a line of Hive.
// It is what the Hive program is measured against, so it takes the same steps in the same order:
// tiles are rendered into private memory, copied to their place, and put together at the end.
#include <fmt/format.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "app/job.h"
#include "app/options.h"
#include "app/report.h"
#include "core/tile_loop.h"

namespace raytrace {
namespace {

constexpr unsigned threads_max = 1024;

struct Free {
  void operator()(std::byte* p) const { std::free(p); }
};

struct Shared {
  std::atomic<std::uint32_t> next{0};
  std::atomic<std::uint64_t> done{0};
  std::atomic<std::uint64_t> rays{0};
};

class ThreadSource {
 public:
  // `progress` is given to one thread only, which reports for all.
  ThreadSource(Shared& shared, std::uint32_t count, Progress* progress)
      : shared_(shared), count_(count), progress_(progress) {}

  std::optional<std::uint32_t> take() {
    const std::uint32_t tile = shared_.next.fetch_add(1, std::memory_order_relaxed);
    return tile < count_ ? std::optional(tile) : std::nullopt;
  }
  bool done(std::uint32_t, std::uint64_t rays) {
    shared_.rays.fetch_add(rays, std::memory_order_relaxed);
    const std::uint64_t done = shared_.done.fetch_add(1, std::memory_order_relaxed) + 1;
    if (progress_ != nullptr && progress_->due()) progress_->show(done);
    return true;
  }

 private:
  Shared& shared_;
  std::uint32_t count_;
  Progress* progress_;
};

class MemorySink {
 public:
  MemorySink(std::uint8_t* image, const TileGrid& grid) : image_(image), grid_(grid) {}
  bool put(std::uint32_t tile, const TileBuffer& pixels) {
    std::memcpy(image_ + grid_.tile_offset(tile), pixels.data(), pixels.size());
    return true;
  }

 private:
  std::uint8_t* image_;
  TileGrid grid_;
};

int run(const Options& options, unsigned threads) {
  const auto start = Clock::now();
  if (const auto good = check_output(options.output); !good) {
    complain(good.error());
    return exit_bad_input;
  }
  std::unique_ptr<std::byte, Free> bytes;
  Report report;
  std::size_t size = 0;
  {
    const auto parts = load_scene(options);
    if (!parts) {
      complain(parts.error());
      return exit_bad_input;
    }
    size = parts->header.bytes;
    report.triangles = parts->header.triangles.count;
    bytes.reset(static_cast<std::byte*>(std::aligned_alloc(scene_alignment, size)));
    if (!bytes) {
      complain("not enough memory for the scene");
      return exit_bad_input;
    }
    write_scene(*parts, bytes.get());
  }
  const auto scene = Scene::open({bytes.get(), size});
  if (!scene) {
    complain(scene.error());
    return exit_bad_input;
  }
  const TileGrid grid(scene->settings());
  std::vector<std::uint8_t> image(grid.image_bytes());
  report.load_s = seconds_since(start);

  const auto render_start = Clock::now();
  Shared shared;
  {
    Progress progress(grid.count(), options.quiet);
    const auto work = [&](Progress* reports) {
      ThreadSource source(shared, grid.count(), reports);
      MemorySink sink(image.data(), grid);
      run_tiles(*scene, source, sink);
    };
    std::vector<std::jthread> others;
    for (unsigned i = 1; i < threads; ++i) others.emplace_back(work, nullptr);
    work(&progress);
  }
  report.render_s = seconds_since(render_start);

  if (const auto good = write_picture(scene->settings(), image, options.output); !good) {
    complain(good.error());
    return exit_bad_input;
  }
  report.output = options.output;
  report.workers = threads;
  report.rays = shared.rays;
  report.tiles = grid.count();
  report.total_s = seconds_since(start);
  if (!options.quiet || options.json) print_report(report, options.json);
  return exit_good;
}

}  // namespace
}  // namespace raytrace

int main(int argc, char** argv) {
  using namespace raytrace;
  CLI::App app("Ray tracer of triangle scenes, with plain threads", "raytrace-threads");
  Options options;
  unsigned threads = std::max(1u, std::thread::hardware_concurrency());
  add_options(app, options);
  app.add_option("--threads", threads, "Threads to render with")
      ->capture_default_str()
      ->check(CLI::Range(1u, threads_max));
  if (const auto status = parse_options(app, options, argc, argv)) return *status;
  return run(options, threads);
}
