// Runs schedules of failures through the protocol of agreement and recovery until one violates
// what must hold. Prints the seed, which replays it: member_sim --seed N --schedules 1 --trace
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/time.h"
#include "sim_world.h"

int main(int argc, char** argv) {
  CLI::App app("Drives agreement, recovery and reintegration through made-up failures.");
  std::uint64_t seed = 1;
  std::uint64_t schedules = 10'000;
  hive::test::ScheduleOptions options;
  app.add_option("--seed", seed, "of the first schedule; the others follow");
  app.add_option("--schedules", schedules, "how many");
  app.add_option("--cells", options.cells, "2 to 64; otherwise drawn");
  app.add_flag("--trace", options.trace, "say what happens");
  CLI11_PARSE(app, argc, argv);

  hive::test::Coverage coverage;
  const std::uint64_t begin = hive::now_ns();
  std::uint64_t next_report = begin + 10 * hive::ns_per_s;
  for (std::uint64_t i = 0; i < schedules; ++i) {
    options.seed = seed + i;
    if (const auto violation = hive::test::run_schedule(options, &coverage)) {
      fmt::print("seed {}: {}\n", options.seed, *violation);
      return 1;
    }
    if (hive::now_ns() > next_report) {
      next_report += 10 * hive::ns_per_s;
      fmt::print(stderr, "{} of {} schedules\n", i + 1, schedules);
    }
  }
  const double seconds = static_cast<double>(hive::now_ns() - begin) / 1e9;
  fmt::print("seeds {} to {}: {} schedules without a violation in {:.1f} s\n", seed,
             seed + schedules - 1, coverage.schedules, seconds);
  fmt::print(
      "{} lives of cells ({:.0f} a second), {} recoveries settled, {} cells taken back in\n",
      coverage.lives, static_cast<double>(coverage.lives) / seconds, coverage.recoveries,
      coverage.joins);
  fmt::print("{} schedules with two or more failures inside a recovery\n",
             coverage.double_failures);
  fmt::print("{} distinct states, {} distinct transitions\n", coverage.states.size(),
             coverage.transitions.size());
}
