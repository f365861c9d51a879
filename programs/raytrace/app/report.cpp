#include "app/report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace raytrace {
namespace {

constexpr auto interval = std::chrono::milliseconds(100);

std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Progress::Progress(std::uint64_t total, bool quiet)
    : total_(total), quiet_(quiet), terminal_(isatty(STDERR_FILENO) != 0), next_(Clock::now()) {}

Progress::~Progress() {
  if (line_open_) fmt::print(stderr, "\r\x1b[K");
}

bool Progress::due() {
  if (quiet_ || total_ == 0 || Clock::now() < next_) return false;
  next_ = Clock::now() + interval;
  return true;
}

void Progress::show(std::uint64_t done) {
  if (terminal_) {
    fmt::print(stderr, "\r\x1b[Kraytrace: {} of {} tiles, {} %", done, total_,
               100 * done / total_);
    std::fflush(stderr);
    line_open_ = true;
    return;
  }
  const std::uint64_t tenths = 10 * done / total_;
  if (tenths <= tenths_shown_) return;
  tenths_shown_ = tenths;
  fmt::print(stderr, "raytrace: {} %\n", 10 * tenths);
}

void print_report(const Report& r, bool json) {
  const double rate = r.render_s > 0.0 ? static_cast<double>(r.rays) / r.render_s : 0.0;
  if (json) {
    fmt::print(
        "{{\"output\": {}, \"workers\": {}, \"load_s\": {:.6f}, \"render_s\": {:.6f}, "
        "\"seconds\": {:.6f}, \"rays\": {}, \"rays_per_s\": {:.0f}, \"tiles\": {}, "
        "\"tiles_done_again\": {}, \"triangles\": {}}}\n",
        json_string(r.output), r.workers, r.load_s, r.render_s, r.total_s, r.rays, rate, r.tiles,
        r.tiles_done_again, r.triangles);
  } else {
    fmt::print("{}: {} triangles, {} tiles by {} {} in {:.2f} s, {:.2f} million rays/s\n",
               r.output, r.triangles, r.tiles, r.workers, r.workers == 1 ? "worker" : "workers",
               r.render_s, rate / 1e6);
    if (r.tiles_done_again > 0) {
      fmt::print("{} {} done again after a loss\n", r.tiles_done_again,
                 r.tiles_done_again == 1 ? "tile was" : "tiles were");
    }
  }
  std::fflush(stdout);
}

}  // namespace raytrace
