// What a probe sees of a process, and how it makes sure that sleepers could have woken.
#include "cell/member/probe.h"

#include <algorithm>
#include <csignal>
#include <functional>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mapped_node.h"

namespace hive::cell {
namespace {

cpu_set_t own_processors() {
  cpu_set_t set;
  EXPECT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  return set;
}

[[noreturn]] void loop() {
  for (;;) asm volatile("");
}

[[noreturn]] void sleep_for_ever() {
  for (;;) ::pause();
}

// A process on one processor whose clock stands: its main thread, and one that is to make ticks.
class Accused {
 public:
  explicit Accused(const std::function<void()>& ticks, const std::function<void()>& others) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const cpu_set_t all = own_processors();
    cpu_set_t one;
    CPU_ZERO(&one);
    for (std::size_t i = 0; CPU_COUNT(&one) == 0 && i < CPU_SETSIZE; ++i) {
      if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    }
    ::sched_setaffinity(0, sizeof one, &one);
    std::thread([ticks] {
      become_tick_thread();
      ticks();
    }).detach();
    others();
    ::_exit(0);
  }
  Accused(const Accused&) = delete;
  Accused& operator=(const Accused&) = delete;
  ~Accused() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  // All of its threads: one that is just beginning waits for a processor, too.
  void wait_until_asleep() const {
    for (ThreadTimes seen; seen.threads.size() < 2 || is_awake(seen);) {
      ::usleep(1'000);
      seen = read_thread_times(pid_);
    }
  }
  // Whether one of its threads is seen to wait for a processor, in so many looks.
  bool is_seen_starved(int looks_max) const {
    const machine::Layout layout = machine::make_layout(2, std::uint64_t{1} << 20);
    const test::MappedNode node(layout, 1);
    Probe probe(layout, 1, pid_, 0);
    EXPECT_EQ(probe.is_starved(), std::nullopt);  // too early to tell
    bool is_starved = false;
    for (int i = 0; i < looks_max && !is_starved; ++i) {
      ::usleep(6'000);
      is_starved = probe.is_starved().value_or(false);
    }
    return is_starved;
  }
  // What a probe makes of it that looks as often as it may.
  Probe::Verdict verdict(int looks_max) const {
    const machine::Layout layout = machine::make_layout(2, std::uint64_t{1} << 20);
    const test::MappedNode node(layout, 1);
    node.header()->tick_ns.store(10'000'000);
    ::usleep(20'000);
    Probe probe(layout, 1, pid_, 100'000'000);
    Probe::Verdict verdict = Probe::Verdict::open;
    for (int i = 0; i < looks_max && verdict == Probe::Verdict::open; ++i) {
      ::usleep(6'000);
      verdict = probe.look();
    }
    return verdict;
  }

 private:
  static bool is_awake(const ThreadTimes& times) {
    return std::ranges::any_of(times.threads,
                               [](const auto& entry) { return entry.second.would_run; });
  }

  pid_t pid_ = -1;
};

constexpr int long_probe = 100;

// Whenever nobody else wants the processor.
void loop_last() {
  const sched_param none{};
  ::sched_setscheduler(0, SCHED_IDLE, &none);
  loop();
}

TEST(Probe, ATickThreadThatWaitsForAProcessorIsNotGuiltyHoweverMuchTheOthersRun) {
  const Accused accused(loop_last, loop);
  EXPECT_NE(accused.verdict(long_probe), Probe::Verdict::guilty);
}

// One waits for the lock that the tick thread needs, and runs meanwhile; its holder has no turn.
TEST(Probe, ATickThreadThatSleepsIsNotGuiltyWhileAnotherHasHadNoTurn) {
  const auto others = [] {
    std::thread(loop).detach();
    loop_last();
  };
  const Accused accused(sleep_for_ever, others);
  EXPECT_NE(accused.verdict(long_probe), Probe::Verdict::guilty);
}

TEST(Probe, ATickThreadThatRunsAndMakesNoTickIsGuilty) {
  const Accused accused(loop, sleep_for_ever);
  EXPECT_EQ(accused.verdict(10 * long_probe), Probe::Verdict::guilty);
}

TEST(Probe, ATickThreadThatSleepsIsGuiltyWhetherTheOthersSleepOrRun) {
  const Accused all_sleep(sleep_for_ever, sleep_for_ever);
  EXPECT_EQ(all_sleep.verdict(10 * long_probe), Probe::Verdict::guilty);
  const Accused one_runs(sleep_for_ever, loop);
  EXPECT_EQ(one_runs.verdict(10 * long_probe), Probe::Verdict::guilty);
}

TEST(Probe, AThreadThatGetsNoProcessorIsSeenAndOneThatSleepsIsNot) {
  EXPECT_TRUE(Accused(loop_last, loop).is_seen_starved(long_probe));
  const Accused sleeper(sleep_for_ever, sleep_for_ever);
  sleeper.wait_until_asleep();
  EXPECT_FALSE(sleeper.is_seen_starved(long_probe / 10));
}

TEST(ThreadTimes, SayWhereAThreadRanLast) {
  const ThreadTimes times = read_thread_times(::getpid());
  ASSERT_TRUE(times.is_readable);
  const cpu_set_t mine = own_processors();
  for (const auto& [id, thread] : times.threads) {
    ASSERT_GE(thread.processor, 0);
    EXPECT_TRUE(CPU_ISSET(static_cast<unsigned>(thread.processor), &mine)) << thread.processor;
  }
}

TEST(VisitingProcessors, LeavesTheCallerFreeToRunWhereItCould) {
  const cpu_set_t before = own_processors();
  ThreadTimes times = read_thread_times(::getpid());
  int id = 0;
  // Also where nobody can run.
  for (const int processor : {-1, 0, 1, CPU_SETSIZE - 1, CPU_SETSIZE}) {
    times.threads[--id].processor = processor;
  }
  visit_processors(times);
  const cpu_set_t after = own_processors();
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

}  // namespace
}  // namespace hive::cell
