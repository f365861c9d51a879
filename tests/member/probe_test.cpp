// What a probe sees of a process, and how it makes sure that sleepers could have woken.
#include "cell/member/probe.h"

#include <gtest/gtest.h>

#include <sched.h>
#include <unistd.h>

namespace hive::cell {
namespace {

cpu_set_t own_processors() {
  cpu_set_t set;
  EXPECT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  return set;
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
