// Small parts of libhive that need no cell: deadlines, ranges, names, layouts, environment.
#include <cstdlib>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "lib/attach_target.h"
#include "lib/causes.h"
#include "lib/deadline.h"
#include "lib/handshake.h"
#include "lib/segment_names.h"
#include "lib/signal_text.h"
#include "lib/window_ranges.h"
#include "proto/causes.h"

namespace hive::lib {
namespace {

using machine::PageRange;

TEST(Deadline, DoesNotOverflow) {
  const std::uint64_t far = deadline_in(std::chrono::nanoseconds::max());
  EXPECT_GT(far, now_ns());
  EXPECT_LT(far, std::uint64_t{1} << 63);
  const std::uint64_t at_once = deadline_in(std::chrono::nanoseconds(-5));
  EXPECT_LE(at_once, now_ns());
}

TEST(Subtract, LeavesWhatNoOtherWindowCovers) {
  const PageRange range{10, 10};
  using Parts = std::vector<PageRange>;
  EXPECT_EQ(subtract(range, {}), Parts({{10, 10}}));
  EXPECT_EQ(subtract(range, {{0, 10}, {20, 5}}), Parts({{10, 10}}));  // neighbours share no page
  EXPECT_EQ(subtract(range, {{10, 10}}), Parts{});
  EXPECT_EQ(subtract(range, {{0, 100}}), Parts{});
  EXPECT_EQ(subtract(range, {{12, 2}, {16, 1}}), Parts({{10, 2}, {14, 2}, {17, 3}}));
  EXPECT_EQ(subtract(range, {{14, 4}, {12, 4}, {5, 6}}), Parts({{11, 1}, {18, 2}}));
}

TEST(SegmentNames, FindsTheNameOfAnAddressAndForgetsIt) {
  auto names = std::make_unique<SegmentNames>();
  const std::string longest(63, 'x');
  const int grid = names->add(0x1000, 0x2000, "grid");
  const int other = names->add(0x8000, 0x1000, longest);
  EXPECT_STREQ(names->find(0x1000).data(), "grid");
  EXPECT_STREQ(names->find(0x2fff).data(), "grid");
  EXPECT_STREQ(names->find(0x3000).data(), "");
  EXPECT_STREQ(names->find(0x8fff).data(), longest.c_str());
  names->remove(grid);
  EXPECT_STREQ(names->find(0x1000).data(), "");
  names->remove(other);
  for (std::size_t i = 0; i < named_segments_max; ++i) EXPECT_GE(names->add(1 + i, 1, "n"), 0);
  EXPECT_EQ(names->add(0x9000, 1, "one too many"), -1);
  names->remove(-1);
}

TEST(LastingCause, KeepsKnownWordsAndCopiesOthers) {
  EXPECT_EQ(lasting_cause(proto::causes[5]), proto::causes[5]);
  const char* const first = lasting_cause(std::string("never seen"));
  EXPECT_STREQ(first, "never seen");
  EXPECT_EQ(lasting_cause("never seen"), first);
  EXPECT_EQ(lasting_cause(""), proto::causes[0]);
  for (int i = 0; i < 200; ++i) ASSERT_NE(lasting_cause("cause " + std::to_string(i)), nullptr);
}

TEST(SignalText, WritesNumbersAndCutsOffWhatDoesNotFit) {
  SignalText text;
  text.add("a ").decimal(0).add(" ").decimal(18446744073709551615U).add(" ").hex(0x550000001000);
  EXPECT_EQ(text.view(), "a 0 18446744073709551615 0x550000001000");
  for (int i = 0; i < 100; ++i) text.add("and so on ");
  EXPECT_LT(text.view().size(), 400U);
}

TEST(Layout, OnlyOneThatHoldsTogetherIsSound) {
  const auto good = machine::make_layout(4, std::uint64_t{64} << 20);
  EXPECT_TRUE(is_sound(good));
  EXPECT_TRUE(is_sound(machine::make_layout(64, std::uint64_t{4} << 30)));
  EXPECT_TRUE(is_sound(machine::make_layout(1, 4096)));
  const auto broken = [&](auto change) {
    machine::Layout layout = good;
    change(layout);
    return !is_sound(layout);
  };
  EXPECT_TRUE(broken([](auto& l) { l.cells = 0; }));
  EXPECT_TRUE(broken([](auto& l) { l.cells = 65; }));
  EXPECT_TRUE(broken([](auto& l) { l.cells = 0xffffffff; }));
  EXPECT_TRUE(broken([](auto& l) { l.stride = 0; }));
  EXPECT_TRUE(broken([](auto& l) { l.stride += 1; }));
  EXPECT_TRUE(broken([](auto& l) { l.stride = std::uint64_t{1} << 62; }));
  EXPECT_TRUE(broken([](auto& l) { l.base = 0; }));
  EXPECT_TRUE(broken([](auto& l) { l.base = ~std::uint64_t{0} << 12; }));
  EXPECT_TRUE(broken([](auto& l) { l.user_bytes = 0; }));
  EXPECT_TRUE(broken([](auto& l) { l.user_bytes = ~std::uint64_t{0} << 12; }));
  EXPECT_TRUE(broken([](auto& l) { l.kernel_bytes = ~std::uint64_t{0} << 12; }));
  EXPECT_TRUE(broken([](auto& l) { l.user_bytes = l.stride; }));
}

class AttachTargetTest : public ::testing::Test {
 protected:
  AttachTargetTest() {
    std::string name = "/tmp/hive-lib-test-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    ::setenv("HIVE_RUNTIME_DIR", root_.c_str(), 1);
    for (const char* variable : {"HIVE_MACHINE", "HIVE_CELL", "HIVE_TASK_COOKIE"})
      ::unsetenv(variable);
    make("hive");
    make("other");
  }
  ~AttachTargetTest() override {
    for (const char* machine : {"/hive", "/other"}) ::rmdir((root_ + machine).c_str());
    ::rmdir(root_.c_str());
    ::unsetenv("HIVE_RUNTIME_DIR");
  }
  void make(const std::string& machine) { ::mkdir((root_ + "/" + machine).c_str(), 0700); }
  std::string root_;
};

TEST_F(AttachTargetTest, DefaultsAreTheMachineHiveAndAnyCell) {
  const auto target = attach_target({});
  ASSERT_TRUE(target);
  EXPECT_EQ(target->machine, "hive");
  EXPECT_EQ(target->dir, root_ + "/hive");
  EXPECT_EQ(target->cell, -1);
  EXPECT_EQ(target->cookie, 0U);
}

TEST_F(AttachTargetTest, EnvironmentOfHiveRunIsTakenWithItsCookie) {
  ::setenv("HIVE_MACHINE", "other", 1);
  ::setenv("HIVE_CELL", "3", 1);
  ::setenv("HIVE_TASK_COOKIE", "12345678901234567890", 1);
  auto target = attach_target({});
  ASSERT_TRUE(target);
  EXPECT_EQ(target->machine, "other");
  EXPECT_EQ(target->cell, 3);
  EXPECT_EQ(target->cookie, 12345678901234567890U);
  // The same cell, said aloud, is still the one that gave the cookie; another one is not.
  EXPECT_EQ(attach_target({.machine = "other", .cell = 3})->cookie, 12345678901234567890U);
  EXPECT_EQ(attach_target({.cell = 1})->cookie, 0U);
  EXPECT_EQ(attach_target({.machine = "hive"})->cell, -1);
  EXPECT_EQ(attach_target({.machine = "hive"})->cookie, 0U);
}

TEST_F(AttachTargetTest, BadNamesCellsAndAbsentMachinesAreNamed) {
  EXPECT_EQ(attach_target({.machine = "../x"}).error().code, Code::bad_argument);
  EXPECT_EQ(attach_target({.machine = std::string(33, 'a')}).error().code, Code::bad_argument);
  EXPECT_EQ(attach_target({.cell = 64}).error().code, Code::bad_argument);
  EXPECT_EQ(attach_target({.cell = -2}).error().code, Code::bad_argument);
  EXPECT_EQ(attach_target({.machine = "absent"}).error().code, Code::not_found);
  for (const char* cell : {"x", "-1", "64", "1 ", "99999999999999999999"}) {
    ::setenv("HIVE_CELL", cell, 1);
    EXPECT_EQ(attach_target({}).error().code, Code::bad_argument) << cell;
  }
}

TEST_F(AttachTargetTest, ADirectoryThatOthersMayEnterIsNoMachine) {
  ::chmod((root_ + "/hive").c_str(), 0755);
  EXPECT_EQ(attach_target({}).error().code, Code::not_found);
}

}  // namespace
}  // namespace hive::lib
