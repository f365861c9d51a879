// The parts of the monitor that decide without starting anything.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "monitor/boot_record.h"
#include "monitor/host.h"
#include "monitor/machine_lock.h"
#include "monitor/plan.h"
#include "monitor/sizes.h"

namespace hive::monitor {
namespace {

TEST(Sizes, AreReadAsPeopleWriteThem) {
  EXPECT_EQ(parse_size("0"), 0U);
  EXPECT_EQ(parse_size("4096"), 4096U);
  EXPECT_EQ(parse_size("64M"), 64ULL << 20);
  EXPECT_EQ(parse_size("3k"), 3ULL << 10);
  EXPECT_EQ(parse_size("2GiB"), 2ULL << 30);
  EXPECT_EQ(parse_size("1T"), 1ULL << 40);
}

TEST(Sizes, NothingElseIsASize) {
  for (const char* text : {"", "M", "-1", "+1", " 1", "1 ", "1.5G", "64MX", "64Q", "0x10", "1M1",
                           "99999999999999999999Q"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

TEST(Sizes, WhatIsTooBigToCountIsTheBiggest) {
  for (const char* text : {"9223372036854775808", "8388608T", "9007199254740993K",
                           "99999999999999999999", "99999999999999999999M"}) {
    EXPECT_EQ(parse_size(text), size_max) << text;
  }
}

TEST(Sizes, NumbersHaveBounds) {
  EXPECT_EQ(parse_number("7", 1, 64), 7);
  for (const char* text : {"0", "65", "-3", "1e3", "", "7 ", "99999999999999999999"}) {
    EXPECT_FALSE(parse_number(text, 1, 64)) << text;
  }
}

TEST(Sizes, AreShownShort) {
  EXPECT_EQ(format_size(64ULL << 20), "64 MiB");
  EXPECT_EQ(format_size(3ULL << 29), "1.5 GiB");
  EXPECT_EQ(format_size(12), "12 bytes");
}

TEST(Processors, AreSharedOutWhenThereAreEnough) {
  using Sets = std::vector<std::vector<int>>;
  EXPECT_EQ(share_processors({0, 1, 4, 5, 6}, 2), (Sets{{0, 1, 4}, {5, 6}}));
  EXPECT_EQ(share_processors({2, 3}, 2), (Sets{{2}, {3}}));
  EXPECT_EQ(share_processors({0, 1}, 3), (Sets{{0, 1}, {0, 1}, {0, 1}}));
}

TEST(Plan, RefusesWhatNoMachineCanBe) {
  const auto status_of = [](const BootOptions& options) {
    const auto plan = plan_layout(options);
    return plan ? exit_ok : plan.error().status;
  };
  BootOptions options;
  EXPECT_EQ(status_of(options), exit_ok);
  for (const int cells : {0, -1, 65}) {
    BootOptions wrong = options;
    wrong.cells = cells;
    EXPECT_EQ(status_of(wrong), exit_usage) << cells;
  }
  for (const std::uint64_t bytes :
       {std::uint64_t{0}, std::uint64_t{4096}, std::uint64_t{100} << 30, ~std::uint64_t{0},
        std::uint64_t{1} << 63}) {
    BootOptions wrong = options;
    wrong.memory_bytes = bytes;
    EXPECT_EQ(status_of(wrong), exit_usage) << bytes;
  }
  options.cells = max_cells;
  EXPECT_EQ(status_of(options), exit_ok);
}

TEST(Host, HasMemoryAndProcessors) {
  const HostMemory memory = host_memory();
  EXPECT_GT(memory.available, 0U);
  EXPECT_GE(memory.total, memory.available);
  EXPECT_FALSE(allowed_processors().empty());
  EXPECT_TRUE(std::filesystem::exists(helper_program("monitor_test")));
}

class RuntimeDir : public ::testing::Test {
 protected:
  RuntimeDir() {
    std::string pattern = std::filesystem::temp_directory_path() / "hive-lock-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    dir_ = root_ + "/machine";
  }
  ~RuntimeDir() override { std::filesystem::remove_all(root_); }

  std::string root_;
  std::string dir_;
};

TEST_F(RuntimeDir, IsLockedByOneAtATime) {
  EXPECT_EQ(lock_state(dir_), LockState::absent);
  auto lock = lock_machine(dir_, "machine");
  ASSERT_TRUE(lock);
  EXPECT_EQ(lock_state(dir_), LockState::held);
  const auto second = lock_machine(dir_, "machine");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().status, exit_running_already);
  lock->reset();
  EXPECT_EQ(lock_state(dir_), LockState::free);
  EXPECT_TRUE(lock_machine(dir_, "machine"));
}

TEST_F(RuntimeDir, IsGoneWithItsFiles) {
  auto lock = lock_machine(dir_, "machine");
  ASSERT_TRUE(lock);
  std::ofstream(dir_ + "/machine.json") << "x";
  std::filesystem::create_directory(dir_ + "/more");
  remove_machine_files(dir_, false);
  EXPECT_EQ(lock_state(dir_), LockState::held);
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/machine.json"));
  remove_machine_files(dir_, true);
  EXPECT_FALSE(std::filesystem::exists(dir_));
}

// The lock of a machine is held by all that inherit it, and is free when the last of them has
// died.
TEST_F(RuntimeDir, IsLockedUntilTheLastHolderIsDead) {
  auto lock = lock_machine(dir_, "machine");
  ASSERT_TRUE(lock);
  int gate[2];
  ASSERT_EQ(::pipe(gate), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(gate[1]);
    char byte;
    ::_exit(::read(gate[0], &byte, 1) == 0 ? 0 : 1);  // lives until the gate closes
  }
  ::close(gate[0]);
  EXPECT_FALSE(outlive_other_holders(*lock, dir_, now_ns() + 50 * ns_per_ms));
  EXPECT_FALSE(lock->valid());
  EXPECT_FALSE(wait_until_unlocked(dir_, now_ns() + 50 * ns_per_ms));
  ::close(gate[1]);
  EXPECT_TRUE(wait_until_unlocked(dir_, now_ns() + 10 * ns_per_s));
  EXPECT_TRUE(lock_machine(dir_, "machine"));
  ::waitpid(child, nullptr, 0);
}

TEST_F(RuntimeDir, BelongsToItsUserAlone) {
  ASSERT_TRUE(lock_machine(dir_, "machine"));
  std::filesystem::permissions(dir_, std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  const auto lock = lock_machine(dir_, "machine");
  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().status, exit_failed);
}

TEST_F(RuntimeDir, HoldsTheBootRecord) {
  ASSERT_TRUE(lock_machine(dir_, "machine"));
  EXPECT_TRUE(read_boot_record(dir_).is_null());
  auto plan = plan_layout(BootOptions{});
  ASSERT_TRUE(plan);
  plan->machine_dir = dir_;
  plan->firewall = machine::FirewallMode::mmu_windowed;
  ASSERT_TRUE(write_boot_record(*plan, 77));
  const auto record = read_boot_record(dir_);
  EXPECT_EQ(record.at("machine"), "hive");
  EXPECT_EQ(record.at("cells"), default_cells);
  EXPECT_EQ(record.at("layout").at("stride"), plan->layout.stride);
  EXPECT_EQ(record.at("firewall_mode"), 2);
  EXPECT_EQ(record.at("firewall"), "mmu-windowed");
  EXPECT_EQ(record.at("monitor_pid"), 77);
  std::ofstream(dir_ + "/machine.json") << "{\"machine\": ";
  EXPECT_TRUE(read_boot_record(dir_).is_null());
}

}  // namespace
}  // namespace hive::monitor
