#include "machine/linux/lifeline.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <thread>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/safe_copy.h"
#include "base/time.h"

namespace hive::machine {
namespace {

constexpr std::uint64_t patience_ns = 30 * ns_per_s;

// A header in memory that outlives the process whose lifelines it carries.
class LifelineTest : public testing::Test {
 protected:
  LifelineTest() : memory_(::memfd_create("header", MFD_CLOEXEC)) {
    EXPECT_EQ(::ftruncate(memory_.get(), sizeof(NodeHeader)), 0);
    void* writable =
        ::mmap(nullptr, sizeof(NodeHeader), PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
    void* readable = ::mmap(nullptr, sizeof(NodeHeader), PROT_READ, MAP_SHARED, memory_.get(), 0);
    EXPECT_TRUE(writable != MAP_FAILED && readable != MAP_FAILED);
    own_ = static_cast<NodeHeader*>(writable);
    remote_ = static_cast<NodeHeader*>(readable);
    install_safe_copy_handler();
  }
  ~LifelineTest() override {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::munmap(own_, sizeof(NodeHeader));
    ::munmap(const_cast<NodeHeader*>(remote_), sizeof(NodeHeader));
  }

  // Forks a kernel that arms its lifelines, runs `then` and sleeps.
  template <class Then>
  void start_kernel(Then then) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    child_ = ::fork();
    if (child_ == 0) {
      const bool armed = arm_lifelines(own_).has_value();
      then();
      [[maybe_unused]] const auto told = ::write(ends[1], armed ? "a" : "x", 1);
      for (;;) ::pause();
    }
    ::close(ends[1]);
    char state = 0;
    ASSERT_EQ(::read(ends[0], &state, 1), 1);
    ::close(ends[0]);
    ASSERT_EQ(state, 'a');
  }
  bool becomes_marked(int watcher) {
    const std::uint64_t deadline = now_ns() + patience_ns;
    while (read_lifeline(remote_, watcher) == LifelineState::alive && now_ns() < deadline) {
      wait_lifelines(std::span(&remote_, 1), watcher, deadline);
    }
    return read_lifeline(remote_, watcher) == LifelineState::marked;
  }

  UniqueFd memory_;
  NodeHeader* own_ = nullptr;
  const NodeHeader* remote_ = nullptr;
  pid_t child_ = -1;
};

TEST_F(LifelineTest, AliveUntilKilledThenMarkedForEveryWatcher) {
  start_kernel([] {});
  EXPECT_EQ(read_lifeline(remote_, 0), LifelineState::alive);
  std::vector<std::thread> watchers;
  std::array<std::atomic<bool>, lifeline_count> marked{};
  for (int watcher = 0; watcher < lifeline_count; ++watcher) {
    watchers.emplace_back(
        [&, watcher] { marked[static_cast<std::size_t>(watcher)] = becomes_marked(watcher); });
  }
  ::kill(child_, SIGKILL);
  for (auto& thread : watchers) thread.join();
  for (const auto& seen : marked) EXPECT_TRUE(seen);
}

TEST_F(LifelineTest, TheMarkComesBeforeTheMemoryOfTheProcessIsGone) {
  constexpr std::size_t big = std::size_t{256} << 20;
  start_kernel([] {
    void* memory = ::mmap(nullptr, big, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) ::_exit(1);
  });
  ::kill(child_, SIGKILL);
  ASSERT_TRUE(becomes_marked(lifeline_power));
  const std::uint64_t seen = now_ns();
  ASSERT_EQ(::waitpid(child_, nullptr, 0), child_);
  child_ = -1;
  RecordProperty("ns_before_reaped", static_cast<int>(now_ns() - seen));
}

TEST_F(LifelineTest, TheEndOfTheMainThreadAloneIsNoDeath) {
  start_kernel([] {
    std::thread([] {
      for (;;) ::pause();
    }).detach();
  });
  wait_lifelines(std::span(&remote_, 1), 0, now_ns() + 50 * ns_per_ms);
  EXPECT_EQ(read_lifeline(remote_, 0), LifelineState::alive);
}

NodeHeader* marked_by_handler = nullptr;

TEST_F(LifelineTest, AHandlerOfAFatalSignalMarksThemWhileTheProcessLives) {
  marked_by_handler = own_;
  start_kernel([] { std::signal(SIGUSR1, [](int) { mark_lifelines(marked_by_handler); }); });
  ::kill(child_, SIGUSR1);
  for (const int watcher : {0, max_cells - 1, lifeline_power, lifeline_monitor}) {
    EXPECT_TRUE(becomes_marked(watcher));
  }
  EXPECT_EQ(::waitpid(child_, nullptr, WNOHANG), 0) << "it still lives";
}

TEST_F(LifelineTest, AnOrdinaryExitMarksThemToo) {
  start_kernel([] { std::signal(SIGUSR1, [](int) { ::_exit(0); }); });
  ::kill(child_, SIGUSR1);
  EXPECT_TRUE(becomes_marked(lifeline_monitor));
}

TEST_F(LifelineTest, MemoryThatFailsUnderAWatcherIsUnreadableAndNeverAHang) {
  start_kernel([] {});
  std::thread failing([&] { EXPECT_EQ(::ftruncate(memory_.get(), 0), 0); });
  const std::uint64_t deadline = now_ns() + patience_ns;
  while (read_lifeline(remote_, 3) == LifelineState::alive && now_ns() < deadline) {
    wait_lifelines(std::span(&remote_, 1), 3, now_ns() + 10 * ns_per_ms);
  }
  failing.join();
  EXPECT_EQ(read_lifeline(remote_, 3), LifelineState::unreadable);
  const std::uint64_t before = now_ns();
  wait_lifelines(std::span(&remote_, 1), 3, before + patience_ns);
  EXPECT_LT(now_ns(), before + patience_ns) << "a failed memory is no reason to sleep";
}

TEST_F(LifelineTest, WaitingForManyEndsWhenOneDies) {
  start_kernel([] {});
  NodeHeader others[2] = {};
  const NodeHeader* all[] = {&others[0], nullptr, remote_, &others[1]};
  ::kill(child_, SIGKILL);
  const std::uint64_t deadline = now_ns() + patience_ns;
  while (read_lifeline(remote_, 1) == LifelineState::alive && now_ns() < deadline) {
    wait_lifelines(all, 1, deadline);
  }
  EXPECT_EQ(read_lifeline(remote_, 1), LifelineState::marked);
}

TEST_F(LifelineTest, WaitingForNobodySleepsUntilTheDeadline) {
  const std::uint64_t deadline = now_ns() + 20 * ns_per_ms;
  wait_lifelines({}, 0, deadline);
  EXPECT_GE(now_ns(), deadline);
}

TEST_F(LifelineTest, ArmingTwiceIsRefused) {
  start_kernel([&] {
    if (arm_lifelines(own_)) ::_exit(1);
  });
  EXPECT_EQ(read_lifeline(remote_, 0), LifelineState::alive);
}

}  // namespace
}  // namespace hive::machine
