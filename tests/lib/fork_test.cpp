// What a child of a task may do: nothing with its parent's session, everything with its own.
#include <hive/hive.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>

#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fake_machine.h"

namespace hive::test {
namespace {

class ForkTest : public ::testing::Test {
 protected:
  ForkTest()
      : machine(2),
        session(std::move(*hive::attach({.cell = 0}))),
        segment(std::move(*session->create("s", 16 * page_size, {.home = 1}))) {}
  FakeMachine machine;
  std::optional<Session> session;
  Segment segment;
};

TEST_F(ForkTest, EveryCallInAChildSaysThatItIsAFork) {
  auto window = segment.write(0, page_size);
  auto counter = Counter::open(segment, "c");
  ASSERT_TRUE(window && counter);
  *window->at<int>(0) = 5;
  Child child([&](Child&) {
    const auto is_fork = [](const auto& result) {
      return !result && result.error().code == Code::refused &&
             std::strstr(result.error().cause, "fork") != nullptr;
    };
    if (!is_fork(session->create("x", 1))) return 1;
    if (!is_fork(session->open("s"))) return 2;
    if (!is_fork(segment.read_as<int>(0))) return 3;
    if (!is_fork(segment.write(page_size, 1))) return 4;
    if (!is_fork(segment.touch(0, 1)) || !is_fork(segment.reset(0, 1))) return 5;
    if (!is_fork(counter->add(1))) return 6;
    if (!is_fork(window->commit())) return 7;
    if (session->epoch() != 0 || session->cells()[0].up) return 8;
    session.reset();                        // and the ends of things in the child
    { Segment gone = std::move(segment); }  // do nothing to the parent
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
  *window->at<int>(4) = 6;
  ASSERT_TRUE(window->commit());
  EXPECT_EQ(*segment.read_as<int>(0), 5);
  EXPECT_EQ(*counter->add(1), 0U);
}

TEST_F(ForkTest, AWindowThatAChildDestroysStaysOpenInTheParent) {
  auto window = segment.write(0, page_size);
  ASSERT_TRUE(window);
  Child child([&](Child&) {
    { WriteWindow gone = std::move(*window); }
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
  *window->at<int>(0) = 1;
  EXPECT_TRUE(window->commit());
}

TEST_F(ForkTest, NodeMemoryIsNotThereInAChild) {
  ASSERT_TRUE(segment.touch(0, segment.size()));
  Child child([&](Child&) {
    for (const int signal : {SIGSEGV, SIGBUS}) ::signal(signal, SIG_DFL);
    return *reinterpret_cast<const volatile int*>(segment.data());
  });
  EXPECT_TRUE(died_of_fault(child.wait()));
}

TEST_F(ForkTest, AChildMayAttachForItselfWhileItsParentGoesOn) {
  for (int round = 0; round < 3; ++round) {
    Child child([&](Child&) {
      auto mine = hive::attach({.cell = 1});
      if (!mine || mine->cell() != 1) return 1;
      auto same = mine->open("s");
      if (!same || same->data() != segment.data()) return 2;
      auto window = same->write(0, page_size);
      if (!window) return 3;
      *window->at<int>(0) = 7;
      if (!window->commit()) return 4;
      return 0;
    });
    EXPECT_EQ(child.wait(), 0);
    EXPECT_EQ(*segment.read_as<int>(0), 7);
  }
  EXPECT_EQ(session->cell(), 0);
  EXPECT_TRUE(segment.write(0, 1)->commit());
}

TEST_F(ForkTest, TheCellSeesATaskDetachThoughAChildLivesOn) {
  Child child([](Child& parent) {
    parent.hear();
    return 0;
  });
  session.reset();
  EXPECT_TRUE(wait_until([&] { return machine.ask(0, "clients") == "0"; }));
  EXPECT_TRUE(wait_until([&] { return machine.ask(1, "clients") == "0"; }));
  child.tell();
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(ForkTest, AChildMadeWithoutPthreadAtforkIsKnownToo) {
  const long pid = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) {
    const auto read = segment.read_as<int>(0);
    ::_exit(!read && read.error().code == Code::refused ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(static_cast<pid_t>(pid), &status, 0), static_cast<pid_t>(pid));
  EXPECT_EQ(status, 0);
}

TEST_F(ForkTest, ProgramsThatATaskStartsInheritNothing) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::execl("/bin/sh", "sh", "-c", "ls -l /proc/self/fd; cat /proc/self/maps", nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  std::string output;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
    output.append(buffer, static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
  for (const char* ours : {"hive-", "userfault", "eventfd", "memfd"}) {
    EXPECT_EQ(output.find(ours), std::string::npos) << output;
  }
}

}  // namespace
}  // namespace hive::test
