#include "machine/linux/power.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "machine/linux/fd_channel.h"

namespace hive::test {
namespace {

using namespace hive::machine;

constexpr int patience_ms = 20 * 1000;
const std::string own_task_program = HIVE_TEST_PROGRAM;

bool becomes_readable(int fd) {
  pollfd wait{fd, POLLIN, 0};
  return ::poll(&wait, 1, patience_ms) == 1;
}

class PowerTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    auto pair = channel_pair();
    ASSERT_TRUE(pair);
    channel_ = std::move(pair->first);
    kernel_end_ = std::move(pair->second);
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    output_.reset(ends[0]);
    output_writer_.reset(ends[1]);
    lock_.reset(::memfd_create("lock", MFD_CLOEXEC));
    log_.reset(::memfd_create("log", MFD_CLOEXEC));
  }
  void TearDown() override {
    if (!node_.power_pidfd) return;
    signal(node_.power_pidfd, SIGKILL);
    ::waitpid(node_.power_pid, nullptr, 0);
  }

  NodeStart description() const {
    NodeStart start;
    start.node_program = HIVE_NODE_PROGRAM;
    start.kernel = {HIVE_TEST_PROGRAM, "kernel"};
    start.monitor_channel = kernel_end_.get();
    start.lock = lock_.get();
    start.log = log_.get();
    start.namespaces = GetParam();
    return start;
  }
  void boot() {
    auto node = start_node(description());
    ASSERT_TRUE(node) << node.error().message();
    node_ = std::move(*node);
    kernel_end_.reset();
    tell("pidfds");
    auto message = hear();
    ASSERT_EQ(message.fds.size(), 3U);
    starter_ = std::move(message.fds[1]);
    kernel_ = std::move(message.fds[2]);
  }
  void tell(const std::string& text, std::span<const int> fds = {}) {
    ASSERT_TRUE(channel_send(channel_.get(), bytes_of(text), fds, now_ns() + 10 * ns_per_s));
  }
  ChannelMessage hear() {
    auto message = channel_receive(channel_.get(), now_ns() + 20 * ns_per_s);
    return message ? std::move(*message) : ChannelMessage{};
  }
  std::string hear_text() {
    const auto message = hear();
    return {reinterpret_cast<const char*>(message.bytes.data()), message.bytes.size()};
  }
  void start_task(const std::string& words, const char* folder = "/") {
    const UniqueFd directory(::open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC));
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const int fds[] = {directory.get(), null.get(), output_writer_.get(), output_writer_.get()};
    tell("task\n" + words, fds);
  }
  void start_own_task(const std::string& what) {
    start_task(own_task_program + "\ntask\n" + what);
  }
  // Until as many tasks and daemons have said that they run.
  void await_runners(std::size_t count) {
    std::string said(count, ' ');
    for (std::size_t got = 0; got < count;) {
      ASSERT_TRUE(becomes_readable(output_.get()));
      const ssize_t n = ::read(output_.get(), said.data(), count - got);
      ASSERT_GT(n, 0);
      got += static_cast<std::size_t>(n);
    }
  }
  // Everything that holds the tasks' standard output has gone.
  bool all_tasks_are_dead() {
    output_writer_.reset();
    char byte;
    return becomes_readable(output_.get()) && ::read(output_.get(), &byte, 1) == 0;
  }
  std::string all_output() {
    output_writer_.reset();
    std::string text;
    char bytes[512];
    while (becomes_readable(output_.get())) {
      const ssize_t n = ::read(output_.get(), bytes, sizeof bytes);
      if (n <= 0) break;
      text.append(bytes, static_cast<std::size_t>(n));
    }
    return text;
  }
  static void signal(const UniqueFd& pidfd, int number) {
    ::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0);
  }
  void expect_node_is_dead() {
    EXPECT_TRUE(becomes_readable(node_.power_pidfd.get()));
    EXPECT_TRUE(becomes_readable(starter_.get()));
    EXPECT_TRUE(becomes_readable(kernel_.get()));
    EXPECT_TRUE(pidfd_is_dead(node_.power_pidfd.get()));
    EXPECT_TRUE(pidfd_is_dead(starter_.get()));
    EXPECT_TRUE(all_tasks_are_dead());
  }

  RunningNode node_;
  UniqueFd channel_;
  UniqueFd kernel_end_;
  UniqueFd output_;
  UniqueFd output_writer_;
  UniqueFd lock_;
  UniqueFd log_;
  UniqueFd starter_;
  UniqueFd kernel_;
};

TEST_P(PowerTest, KillingThePowerProcessEndsAllOfTheNode) {
  boot();
  start_own_task("wait");
  start_own_task("wait");
  // Without a namespace a daemon outlives a power process that was killed: Linux has no tie to it.
  if (GetParam()) start_own_task("daemon");
  await_runners(GetParam() ? 4 : 2);
  signal(node_.power_pidfd, SIGKILL);
  expect_node_is_dead();
}

TEST_P(PowerTest, TheDeathOfTheKernelEndsItsTasksAndDaemons) {
  boot();
  start_own_task("wait");
  start_own_task("daemon");
  await_runners(3);
  signal(kernel_, SIGKILL);
  expect_node_is_dead();
}

TEST_P(PowerTest, TheDeathOfTheStarterEndsTheNode) {
  boot();
  start_own_task("wait");
  start_own_task("daemon");
  await_runners(3);
  signal(starter_, SIGKILL);
  expect_node_is_dead();
}

TEST_P(PowerTest, AMarkedLifelineEndsTheNodeWhileTheKernelStillRuns) {
  boot();
  tell("memory\n4");
  ASSERT_EQ(hear_text(), "ready");
  start_own_task("wait");
  await_runners(1);
  EXPECT_FALSE(pidfd_is_dead(kernel_.get()));
  tell("mark");
  expect_node_is_dead();
}

TEST_P(PowerTest, FailingMemoryEndsTheNode) {
  boot();
  tell("memory\n4");
  ASSERT_EQ(hear_text(), "ready");
  start_own_task("wait");
  await_runners(1);
  tell("fail");
  expect_node_is_dead();
}

TEST_P(PowerTest, TheNodeGoesOnWithoutItsMonitor) {
  boot();
  start_own_task("wait");
  await_runners(1);
  channel_.reset();
  for (const int key : {SIGHUP, SIGINT, SIGQUIT}) signal(node_.power_pidfd, key);
  pollfd wait{node_.power_pidfd.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, 300), 0);
}

TEST_P(PowerTest, TheExitStatusOfATaskComesBack) {
  boot();
  start_own_task("exit\n7");
  auto started = hear();
  EXPECT_EQ(started.fds.size(), 1U);
  EXPECT_EQ(hear_text(), "ended 4711 " + std::to_string(7 << 8) + " 0");
  start_own_task("abort");
  hear();
  EXPECT_EQ(hear_text(), "ended 4711 " + std::to_string(SIGKILL) + " 0");
}

TEST_P(PowerTest, AStartedTaskIsKnownByItsPidAndPidfd) {
  boot();
  start_own_task("wait");
  auto started = hear();
  ASSERT_EQ(started.fds.size(), 1U);
  const std::string text(reinterpret_cast<const char*>(started.bytes.data()),
                         started.bytes.size());
  std::istringstream words(text);
  std::string kind;
  int cookie = 0;
  int status = -1;
  int pid = 0;
  words >> kind >> cookie >> status >> pid;
  EXPECT_EQ(kind, "started");
  EXPECT_EQ(cookie, 4711);
  EXPECT_GT(pid, 0);
  EXPECT_EQ(pid, pid_of_pidfd(started.fds[0].get())) << "the kernel sees it as we do";
  signal(started.fds[0], SIGTERM);
  EXPECT_EQ(hear_text(), "ended 4711 " + std::to_string(SIGTERM) + " 0");
  EXPECT_TRUE(pidfd_is_dead(started.fds[0].get()));
}

TEST_P(PowerTest, AProgramThatCannotRunIsReportedWithItsErrno) {
  boot();
  start_task("no-such-program-anywhere");
  EXPECT_EQ(hear_text(), "failed 4711 " + std::to_string(ENOENT) + " 0");
  start_task("/etc/passwd");
  EXPECT_EQ(hear_text(), "failed 4711 " + std::to_string(EACCES) + " 0");
  start_task("true");
  EXPECT_TRUE(hear_text().starts_with("started")) << "PATH comes from the task's environment";
  EXPECT_EQ(hear_text(), "ended 4711 0 0");
}

TEST_P(PowerTest, ATaskStartsClean) {
  boot();
  start_own_task("show");
  ASSERT_TRUE(hear_text().starts_with("started"));
  EXPECT_EQ(hear_text(), "ended 4711 0 0");
  EXPECT_EQ(all_output(),
            "descriptors 0 1 2 \nSigIgn:\t0000000000000000\nSigBlk:\t0000000000000000\n"
            "session 1\nword honey\n");
}

TEST_P(PowerTest, TheKernelFindsItsDescriptorsAndNoOthers) {
  boot();
  tell("descriptors");
  EXPECT_EQ(hear_text(), "0 1 2 3 4 5 6 7 8 ");
}

TEST_P(PowerTest, GarbageSentToTheStarterIsDropped) {
  boot();
  for (const auto& garbage : {std::string("x"), std::string(1000, '\xff')}) {
    tell("garbage\n" + garbage);
  }
  start_task("true");
  EXPECT_TRUE(hear_text().starts_with("started"));
}

TEST_P(PowerTest, ManyTasksAtOnceAllEnd) {
  boot();
  constexpr int tasks = 100;
  for (int i = 0; i < tasks; ++i) start_task("true");
  int started = 0;
  int ended = 0;
  while (ended < tasks) {
    const std::string text = hear_text();
    ASSERT_FALSE(text.empty());
    started += text.starts_with("started") ? 1 : 0;
    ended += text.starts_with("ended") ? 1 : 0;
  }
  EXPECT_EQ(started, tasks);
}

TEST_P(PowerTest, TasksAreTakenBeforeKernelsWhenMemoryRunsOut) {
  boot();
  start_own_task("wait");
  auto started = hear();
  ASSERT_EQ(started.fds.size(), 1U);
  const auto score = [](int pid) {
    int value = -2000;
    std::ifstream("/proc/" + std::to_string(pid) + "/oom_score_adj") >> value;
    return value;
  };
  const int kernel = score(pid_of_pidfd(kernel_.get()));
  EXPECT_GT(score(pid_of_pidfd(started.fds[0].get())), kernel);
  EXPECT_LE(score(node_.power_pid), kernel);
}

TEST_P(PowerTest, TheLockIsHeldAsLongAsTheNodeLives) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", lock_.get());
  const UniqueFd other(::open(path, O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(lock_.get(), LOCK_EX | LOCK_NB), 0);
  boot();
  start_own_task("wait");
  await_runners(1);
  lock_.reset();
  EXPECT_NE(::flock(other.get(), LOCK_EX | LOCK_NB), 0);
  signal(node_.power_pidfd, SIGKILL);
  expect_node_is_dead();
  EXPECT_EQ(::flock(other.get(), LOCK_EX | LOCK_NB), 0);
}

TEST_P(PowerTest, WhatCannotBeStartedIsAnErrorAndLeavesNothing) {
  auto start = description();
  start.kernel = {"/no/such/kernel"};
  auto node = start_node(start);
  ASSERT_FALSE(node);
  EXPECT_EQ(node.error().sys_errno, ENOENT);
  EXPECT_STREQ(node.error().cause, "the kernel of a cell cannot be started");
  start = description();
  start.node_program = "/no/such/node";
  node = start_node(start);
  ASSERT_FALSE(node);
  EXPECT_EQ(node.error().sys_errno, ENOENT);
  start = description();
  start.processors = {CPU_SETSIZE - 1};
  EXPECT_FALSE(start_node(start)) << "no such processor";
  kernel_end_.reset();
  EXPECT_TRUE(hear().end) << "somebody still holds the kernel's channel";
}

TEST_P(PowerTest, TheNodeKeepsToItsProcessors) {
  auto start = description();
  start.processors = {0};
  auto node = start_node(start);
  ASSERT_TRUE(node) << node.error().message();
  node_ = std::move(*node);
  cpu_set_t set;
  CPU_ZERO(&set);
  ASSERT_EQ(::sched_getaffinity(node_.power_pid, sizeof set, &set), 0);
  EXPECT_EQ(CPU_COUNT(&set), 1);
  EXPECT_TRUE(CPU_ISSET(0, &set));
}

INSTANTIATE_TEST_SUITE_P(Namespaces, PowerTest, testing::Bool(), [](const auto& p) {
  return std::string(p.param ? "namespace" : "plain");
});

}  // namespace
}  // namespace hive::test
