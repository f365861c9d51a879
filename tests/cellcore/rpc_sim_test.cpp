// The RPC protocol under many random schedules of the simulated machine, more than a thousand in
// each run of this program. A failure prints its seed; HIVE_TEST_SEED=<seed> HIVE_TEST_SCHEDULES=1
// runs that schedule again, exactly; HIVE_TEST_SCHEDULES=100000 looks further.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

#include <gtest/gtest.h>

#include "rpc_schedule.h"

namespace hive::test {
namespace {

constexpr int schedules_usual = 400;

std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}
std::uint64_t first_seed() {
  static const std::uint64_t seed = number_from("HIVE_TEST_SEED", std::random_device{}());
  return seed;
}
int schedules() {
  return static_cast<int>(number_from("HIVE_TEST_SCHEDULES", schedules_usual));
}

struct Sum {
  long started = 0;
  long replied = 0;
  long timed_out = 0;
  long cell_down = 0;
  std::uint64_t rejected = 0;
  void add(const ScheduleResult& r) {
    started += r.started;
    replied += r.replied;
    timed_out += r.timed_out;
    cell_down += r.cell_down;
    rejected += r.rejected;
  }
};

// Runs schedules until one violates the protocol; returns its result, or that of the last.
Sum run_all(ScheduleOptions options) {
  Sum sum;
  for (int i = 0; i < schedules(); ++i) {
    options.machine.seed = first_seed() + static_cast<std::uint64_t>(i);
    options.machine.cells = 2 + static_cast<int>(options.machine.seed % 4);
    const ScheduleResult result = RpcSchedule(options).run();
    sum.add(result);
    if (!result.violations.empty()) {
      ADD_FAILURE() << "HIVE_TEST_SEED=" << options.machine.seed << " HIVE_TEST_SCHEDULES=1: "
                    << result.violations.front();
      break;
    }
  }
  std::printf("seeds from %llu: %ld calls, %ld replied, %ld timed out, %ld cell down, "
              "%llu rejected\n",
              static_cast<unsigned long long>(first_seed()), sum.started, sum.replied,
              sum.timed_out, sum.cell_down, static_cast<unsigned long long>(sum.rejected));
  return sum;
}

machine::SimOptions rough_network() {
  machine::SimOptions options;
  options.spoil_one_in = 40;
  options.drop_one_in = 40;
  options.replay_one_in = 10;
  options.garbage_one_in = 20;
  options.stall_one_in = 50;
  return options;
}

TEST(RpcSchedules, WithoutFaultsEveryCallIsAnswered) {
  ScheduleOptions options;
  options.fail_cells = false;
  const Sum sum = run_all(options);
  EXPECT_LE(sum.rejected, static_cast<std::uint64_t>(sum.timed_out));  // late answers only
  EXPECT_GT(sum.replied, sum.started * 9 / 10);
  EXPECT_EQ(sum.replied + sum.timed_out, sum.started);
}

TEST(RpcSchedules, NoRequestRunsTwiceAndEachCallEndsOnce) {
  ScheduleOptions options;
  options.machine = rough_network();
  const Sum sum = run_all(options);
  EXPECT_GT(sum.replied, 0);
  EXPECT_GT(sum.rejected, 0U);
  if (schedules() >= schedules_usual) {  // each way to end has been taken
    EXPECT_GT(sum.timed_out, 0);
    EXPECT_GT(sum.cell_down, 0);
  }
}

TEST(RpcSchedules, FlippedBitsAndForgedMessagesNeitherCrashNorHang) {
  ScheduleOptions options;
  options.machine = rough_network();
  options.machine.flip_one_in = 5;
  options.forge = true;
  run_all(options);
}

TEST(RpcSchedules, ASeedReplaysAScheduleExactly) {
  ScheduleOptions options;
  options.machine = rough_network();
  options.machine.seed = first_seed();
  const ScheduleResult first = RpcSchedule(options).run();
  const ScheduleResult again = RpcSchedule(options).run();
  EXPECT_EQ(first.digest, again.digest);
  EXPECT_EQ(first.replied, again.replied);
  EXPECT_EQ(first.executed, again.executed);
}

// The detector detects: with the check for repeats left out, the book shows it soon.
TEST(RpcSchedules, ThePlantedBugIsFound) {
  ScheduleOptions options;
  options.machine = rough_network();
  options.check_repeats = false;
  int tries = 0;
  bool found = false;
  for (; !found && tries < 50; ++tries) {
    options.machine.seed = first_seed() + static_cast<std::uint64_t>(tries);
    found = !RpcSchedule(options).run().violations.empty();
  }
  EXPECT_TRUE(found) << "seeds from " << first_seed();
  std::printf("found after %d schedules\n", tries);
}

}  // namespace
}  // namespace hive::test
