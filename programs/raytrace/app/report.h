// What the programs say while they work and when they are done.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace raytrace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start);

// Progress on standard error: one line that changes on a terminal, a line for each tenth
// elsewhere. Not thread-safe: one thread reports.
class Progress {
 public:
  Progress(std::uint64_t total, bool quiet);
  ~Progress();  // leaves the terminal's line clean
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Cheap when called often: true a few times a second at most, when a number is wanted.
  bool due();
  void show(std::uint64_t done);

 private:
  std::uint64_t total_;
  bool quiet_, terminal_, line_open_ = false;
  std::uint64_t tenths_shown_ = 0;
  Clock::time_point next_;
};

struct Report {
  std::string output;
  std::uint32_t workers = 1;
  double load_s = 0.0;    // reading the scene and building the tree
  double render_s = 0.0;  // from the first tile taken to the last tile stored
  double total_s = 0.0;   // all of it, with the writing of the file; "seconds" in JSON
  std::uint64_t rays = 0;
  std::uint64_t tiles = 0;
  std::uint64_t tiles_done_again = 0;
  std::uint64_t triangles = 0;
};

// To standard output: some words, or a JSON object on one line.
void print_report(const Report& report, bool json);

}  // namespace raytrace
