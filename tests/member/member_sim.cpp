// Runs schedules of failures through the protocol of agreement and recovery until one violates
// what must hold. Prints the seed, which replays it: member_sim --seed N --schedules 1 --trace
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/time.h"
#include "sim_sabotage.h"
#include "sim_world.h"

int main(int argc, char** argv) {
  CLI::App app("Drives agreement, recovery and reintegration through made-up failures.");
  std::uint64_t seed = 1;
  std::uint64_t schedules = 10'000;
  std::string sabotage;
  bool keep_going = false;
  hive::test::ScheduleOptions options;
  app.add_option("--seed", seed, "of the first schedule; the others follow");
  app.add_option("--schedules", schedules, "how many");
  app.add_option("--cells", options.cells, "2 to 64; otherwise 2 to 6 are drawn")
      ->check(CLI::Range(2, hive::max_cells));
  app.add_option("--sabotage", sabotage, "plant this bug");
  app.add_flag("--keep-going", keep_going, "report every violation, not only the first");
  app.add_flag("--trace", options.trace, "say what happens");
  CLI11_PARSE(app, argc, argv);
  if (!sabotage.empty()) {
    const auto planted = hive::test::sabotage_named(sabotage);
    if (!planted) {
      fmt::print(stderr, "there is no bug of that name; there are:\n");
      for (const auto& bug : hive::test::planted_bugs) fmt::print(stderr, "  {}\n", bug.name);
      return 2;
    }
    options.sabotage = *planted;
  }

  hive::test::Coverage coverage;
  std::uint64_t violations = 0;
  const std::uint64_t begin = hive::now_ns();
  std::uint64_t next_report = begin + 60 * hive::ns_per_s;
  for (std::uint64_t i = 0; i < schedules; ++i) {
    options.seed = seed + i;
    const auto result = hive::test::run_schedule(options, &coverage);
    if (!result.violation.empty()) {
      fmt::print("seed {}: {}\n", options.seed, result.violation);
      std::fflush(stdout);
      ++violations;
      if (!keep_going) break;
    }
    if (hive::now_ns() > next_report) {
      next_report += 60 * hive::ns_per_s;
      fmt::print(stderr, "{} of {} schedules\n", i + 1, schedules);
    }
  }
  const double seconds = static_cast<double>(hive::now_ns() - begin) / 1e9;
  fmt::print("seeds {} to {}: {} schedules, {} violations, {:.1f} s\n", seed, options.seed,
             coverage.schedules, violations, seconds);
  fmt::print("{} lives of cells ({:.0f} a second), {} recoveries settled, {} cells back in\n",
             coverage.lives, static_cast<double>(coverage.lives) / seconds, coverage.recoveries,
             coverage.joins);
  fmt::print("{} ballots voted down, {} contested by the accused\n", coverage.voted_down,
             coverage.contested);
  fmt::print("{} schedules with two or more failures inside a recovery\n",
             coverage.double_failures);
  fmt::print("{} distinct states, {} distinct transitions\n", coverage.states.size(),
             coverage.transitions.size());
  return violations == 0 ? 0 : 1;
}
