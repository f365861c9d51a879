// The home with real processes behind the real firewall.

#include <array>
#include <cstdio>
#include <csignal>
#include <random>
#include <thread>

#include "fenced_home.h"
#include "test_seed.h"

namespace hive::cell::test {
namespace {

TEST_F(FencedHome, AProcessStoresOnlyInsideItsWindow) {
  const Actor a = spawn();
  const Actor b = spawn();
  const auto s = make(a.id, "s", 40);
  ASSERT_TRUE(home->open_segment(b.id, "s"));
  EXPECT_FALSE(a.puppet->load(address(s, 0))) << "nothing was given yet";
  EXPECT_EQ(load(a, address(s, 0)), 0u);
  EXPECT_TRUE(a.puppet->load(address(s, 15))) << "64 KiB around";
  EXPECT_FALSE(a.puppet->load(address(s, 16)));
  EXPECT_FALSE(a.puppet->store(address(s, 0), 1));

  const auto window = home->open_window(a.id, s.id, 3, 2, WindowMode::exclusive);
  ASSERT_TRUE(window) << window.error().message();
  EXPECT_TRUE(a.puppet->store_pages(address(s, 3), 2, 42));
  EXPECT_FALSE(a.puppet->store(address(s, 2), 1));
  EXPECT_FALSE(a.puppet->store(address(s, 5), 1));
  EXPECT_FALSE(b.puppet->store(address(s, 3), 1));
  EXPECT_EQ(load(b, address(s, 4)), 42u) << "readers see stores as they happen";
  ASSERT_TRUE(home->commit_window(a.id, *window));
  EXPECT_FALSE(a.puppet->store(address(s, 3), 1));
  EXPECT_EQ(load(b, address(s, 3)), 42u);
}

TEST_F(FencedHome, NoStoreGetsThroughAfterACellWasTakenDown) {
  const Actor a = spawn(1);
  const auto s = make(a.id, "s", 16);
  ASSERT_TRUE(home->open_segment(kernel, "s"));
  ASSERT_TRUE(home->open_window(a.id, s.id, 0, 16, WindowMode::exclusive));
  ASSERT_TRUE(a.puppet->hammer(address(s, 0), 16));
  while (look(address(s, 7)).value_or(0) == 0) std::this_thread::yield();
  home->on_cell_down(1);  // the process goes on hammering
  EXPECT_EQ(look(address(s, 7)).error().code, Code::lost);
  ASSERT_TRUE(home->reset(kernel, s.id, 0, 16));
  for (int i = 0; i < 20; ++i) {
    for (std::uint32_t p = 0; p < 16; ++p) ASSERT_EQ(look(address(s, p)).value_or(99), 0u);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_FALSE(a.puppet->store(address(s, 0), 5));
}

TEST_F(FencedHome, AKilledProcessTearsItsWindowAndNothingElse) {
  Actor a = spawn();
  const Actor b = spawn();
  const auto s = make(a.id, "s", 64);
  ASSERT_TRUE(home->open_segment(b.id, "s"));
  auto window = home->open_window(a.id, s.id, 0, 64, WindowMode::exclusive);
  ASSERT_TRUE(a.puppet->store_pages(address(s, 0), 64, 7));
  ASSERT_TRUE(home->commit_window(a.id, *window));
  ASSERT_TRUE(home->open_window(a.id, s.id, 10, 5, WindowMode::exclusive));
  ASSERT_TRUE(a.puppet->hammer(address(s, 10), 5));
  a.puppet->kill();
  home->remove_client(a.id, Leave::died);
  for (std::uint32_t p = 0; p < 64; ++p) {
    const auto value = load(b, address(s, p));
    if (p >= 10 && p < 15) {
      EXPECT_FALSE(value) << p;
    } else {
      EXPECT_EQ(value, 7u) << p;
    }
  }
  ASSERT_TRUE(home->reset(b.id, s.id, 0, 64));
  EXPECT_EQ(load(b, address(s, 12)), 0u);
  EXPECT_EQ(load(b, address(s, 9)), 7u);
}

TEST_F(FencedHome, AStoppedProcessHoldsNobodyUp) {
  const Actor a = spawn();
  const auto s = make(a.id, "s", 8);
  auto window = home->open_window(a.id, s.id, 0, 4, WindowMode::exclusive);
  ASSERT_TRUE(window);
  a.puppet->signal(SIGSTOP);
  EXPECT_TRUE(home->commit_window(a.id, *window));
  EXPECT_TRUE(home->give(a.id, s.id, 0, 8));
  ASSERT_TRUE(home->open_window(a.id, s.id, 4, 4, WindowMode::exclusive));
  home->remove_client(a.id, Leave::died);
  EXPECT_EQ(home->root()->pages_torn, 4u);
  a.puppet->signal(SIGCONT);
  EXPECT_FALSE(a.puppet->store(address(s, 4), 1));
}

TEST_F(FencedHome, FreedMemoryIsGoneFromWhoHadItAndEmptyForTheNext) {
  const Actor a = spawn();
  const Actor b = spawn();
  const auto old = make(a.id, "old", pages);
  const auto window = home->open_window(a.id, old.id, 0, pages, WindowMode::exclusive);
  ASSERT_TRUE(window);
  ASSERT_TRUE(a.puppet->store_pages(address(old, 0), pages, 0x5ec4e7));
  ASSERT_TRUE(home->commit_window(a.id, *window));
  ASSERT_TRUE(home->destroy_segment(a.id, old.id));
  ASSERT_TRUE(home->close_segment(a.id, old.id));
  const auto next = make(b.id, "next", pages);
  EXPECT_FALSE(a.puppet->load(address(old, 5)));
  for (std::uint32_t p = 0; p < pages; p += 37) EXPECT_EQ(load(b, address(next, p)), 0u) << p;
  EXPECT_FALSE(load(a, address(old, 5)));
}

TEST_F(FencedHome, AHolderOfASharedWindowLosesWhatAnotherTore) {
  Actor a = spawn();
  const Actor b = spawn();
  const auto s = make(a.id, "s", 8);
  ASSERT_TRUE(home->open_segment(b.id, "s"));
  ASSERT_TRUE(home->open_window(a.id, s.id, 2, 2, WindowMode::shared));
  const auto window = home->open_window(b.id, s.id, 0, 8, WindowMode::shared);
  ASSERT_TRUE(window);
  ASSERT_TRUE(a.puppet->store(address(s, 2), 1));
  ASSERT_TRUE(b.puppet->store(address(s, 3), 1));
  a.puppet->kill();
  home->remove_client(a.id, Leave::died);
  EXPECT_FALSE(b.puppet->store(address(s, 3), 2));
  EXPECT_TRUE(b.puppet->store(address(s, 4), 2));
  const auto lost = home->commit_window(b.id, *window);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::lost);
  EXPECT_FALSE(b.puppet->store(address(s, 4), 3));
  EXPECT_TRUE(home->reset(b.id, s.id, 0, 8));
  EXPECT_EQ(load(b, address(s, 2)), 0u);
  EXPECT_EQ(load(b, address(s, 4)), 2u);
}

// Groups of pages that are written whole by processes that are killed at random moments: each is
// what was committed last, or lost, never a mixture.
TEST_F(FencedHome, KillsAtRandomMomentsLeaveCommittedPagesOrLostOnes) {
  constexpr std::uint32_t groups = 6;
  constexpr std::uint32_t group_pages = 40;
  constexpr int kills = 25;
  const auto seed = static_cast<unsigned>(hive::test::test_seed());
  std::printf("seed %u\n", seed);
  SCOPED_TRACE("HIVE_TEST_SEED=" + std::to_string(seed));
  std::mt19937 random(seed);
  const auto s = make(kernel, "s", groups * group_pages);
  std::array<std::uint64_t, groups> committed{};
  int torn = 0;
  std::uint64_t stamp = 0;
  for (int k = 0; k < kills; ++k) {
    Actor actor = spawn();
    ASSERT_TRUE(home->open_segment(actor.id, "s"));
    std::thread killer([&actor, wait = random() % 3000] {
      std::this_thread::sleep_for(std::chrono::microseconds(wait));
      actor.puppet->kill();
    });
    bool alive = true;
    while (alive) {
      const std::uint32_t g = random() % groups;
      const auto window =
          home->open_window(actor.id, s.id, g * group_pages, group_pages, WindowMode::exclusive);
      if (!window && window.error().code == Code::lost) {
        EXPECT_TRUE(home->reset(actor.id, s.id, g * group_pages, group_pages));
        committed[g] = 0;
        continue;
      }
      if (!window) break;
      alive = actor.puppet->store_pages(address(s, g * group_pages), group_pages, ++stamp);
      // A task commits after its stores; one that died in the middle of them does not.
      if (!alive) break;
      if (home->commit_window(actor.id, *window)) committed[g] = stamp;
    }
    killer.join();
    home->remove_client(actor.id, Leave::died);
    for (std::uint32_t g = 0; g < groups; ++g) {
      const auto first = look(address(s, g * group_pages));
      if (!first) {
        ASSERT_EQ(first.error().code, Code::lost);
        ++torn;
      }
      for (std::uint32_t p = g * group_pages; p < (g + 1) * group_pages; ++p) {
        for (const std::uint64_t at : {address(s, p), address(s, p) + page - 8}) {
          const auto value = look(at);
          ASSERT_EQ(value.has_value(), first.has_value()) << "group " << g << " is half lost";
          if (value) {
            ASSERT_EQ(*value, committed[g]) << "group " << g << " page " << p;
          }
        }
      }
    }
  }
  std::printf("%llu writes, %d groups seen torn\n", static_cast<unsigned long long>(stamp), torn);
}

}  // namespace
}  // namespace hive::cell::test
