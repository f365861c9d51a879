// Short runs of the simulator: clean without a planted bug, and able to find each that is planted.
// member_sim runs longer ones.
#include <cstdint>
#include <iostream>

#include <gtest/gtest.h>

#include "sim_sabotage.h"
#include "sim_world.h"

namespace hive::test {
namespace {

TEST(MemberSim, ThousandsOfSchedulesViolateNothing) {
  Coverage coverage;
  for (std::uint64_t seed = 1; seed <= 5'000; ++seed) {
    const auto result = run_schedule({.seed = seed}, &coverage);
    ASSERT_EQ(result.violation, "") << "member_sim --trace --schedules 1 --seed " << seed;
  }
  // What was not reached was not tested.
  EXPECT_GT(coverage.states.size(), 10'000U);
  EXPECT_GT(coverage.transitions.size(), 10'000U);
  EXPECT_GT(coverage.double_failures, 100U);
  EXPECT_GT(coverage.joins, 1'000U);
  EXPECT_GT(coverage.voted_down, 100U);
  EXPECT_GT(coverage.contested, 10U);
}

// Each of these was one in hundreds of thousands: a late probe of the life before; an alarm
// counted against a cell that had called a false accuser to account; a fence taken from an accused
// that had had no time to speak.
TEST(MemberSim, SchedulesThatOnceFoundABugViolateNothing) {
  for (const std::uint64_t seed : {700080235, 700349983, 700592046}) {
    EXPECT_EQ(run_schedule({.seed = seed}, nullptr).violation, "") << "seed " << seed;
  }
}

TEST(MemberSim, LargeMachinesViolateNothing) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const auto result = run_schedule({.seed = seed, .cells = 24}, nullptr);
    ASSERT_EQ(result.violation, "")
        << "member_sim --cells 24 --trace --schedules 1 --seed " << seed;
  }
}

TEST(MemberSim, ASeedReplaysExactly) {
  Coverage coverage;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const auto first = run_schedule({.seed = seed}, nullptr);
    const auto again = run_schedule({.seed = seed}, &coverage);
    const auto other = run_schedule({.seed = seed + 1'000}, nullptr);
    EXPECT_EQ(first.digest, again.digest) << seed;
    EXPECT_NE(first.digest, other.digest) << seed;
  }
}

class PlantedBugs : public ::testing::TestWithParam<PlantedBug> {};

TEST_P(PlantedBugs, IsFound) {
  ScheduleOptions options;
  GetParam().plant(options.sabotage);
  for (options.seed = 1; options.seed <= 20'000; ++options.seed) {
    const auto result = run_schedule(options, nullptr);
    if (result.violation.empty()) continue;
    std::cout << "seed " << options.seed << ": " << result.violation << "\n";
    return;
  }
  FAIL() << "no schedule shows that " << GetParam().name << " is wrong";
}

INSTANTIATE_TEST_SUITE_P(MemberSim, PlantedBugs, ::testing::ValuesIn(planted_bugs),
                         [](const auto& bug) { return std::string(bug.param.name); });

}  // namespace
}  // namespace hive::test
