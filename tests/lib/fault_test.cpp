// Page faults of tasks: served, refused with a message, and the program's own left to the program.
#include <hive/hive.h>

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include <sys/mman.h>
#include <sys/wait.h>

#include "fake_machine.h"
#include "sanitized.h"

namespace hive::test {
namespace {

volatile char* own_page() {
  static auto* const page =
      static_cast<char*>(::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  return page;
}
std::atomic<int> program_faults{0};
sigjmp_buf back;

void mend(int, siginfo_t* info, void*) {
  program_faults.fetch_add(1);
  if (info->si_addr == const_cast<char*>(own_page())) {
    ::mprotect(const_cast<char*>(own_page()), 4096, PROT_READ | PROT_WRITE);
  }
}
void jump(int) {
  program_faults.fetch_add(1);
  siglongjmp(back, 1);
}
void close_own_page() { ::mprotect(const_cast<char*>(own_page()), 4096, PROT_NONE); }

void install_mend() {
  struct sigaction action {};
  action.sa_sigaction = &mend;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSEGV, &action, nullptr);
}

// What a child says on standard error, and how it ends.
struct Ending {
  int status = 0;
  std::string words;
};
Ending ending_of(const std::function<void()>& body) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  Child child([&](Child&) {
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    for (const int signal : {SIGSEGV, SIGBUS}) ::signal(signal, SIG_DFL);
    body();
    return 0;
  });
  ::close(ends[1]);
  Ending ending;
  char c = 0;
  while (::read(ends[0], &c, 1) == 1) ending.words += c;
  ::close(ends[0]);
  ending.status = child.wait();
  return ending;
}

class FaultTest : public ::testing::Test {
 protected:
  FaultTest() : machine(2) {}
  FakeMachine machine;
};

int* at(const Segment& segment, std::uint64_t offset) {
  return reinterpret_cast<int*>(const_cast<std::byte*>(segment.data()) + offset);
}

TEST_F(FaultTest, TouchesBringPagesInForManyThreads) {
  auto session = hive::attach({.cell = 0});
  ASSERT_TRUE(session);
  auto segment = session->create("s", 512 * page_size, {.home = 1});
  ASSERT_TRUE(segment);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      errno = 1234;
      for (std::uint64_t page = 0; page < 512; ++page) {
        if (*static_cast<volatile int*>(at(*segment, page * page_size)) != 0) ++wrong;
      }
      if (errno != 1234) ++wrong;  // faults leave it alone
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST_F(FaultTest, AStoreWithoutAWindowDiesAndNamesEverything) {
  const Ending end = ending_of([] {
    auto session = hive::attach({.cell = 0});
    auto segment = session->create("grid", 4 * page_size, {.home = 1});
    *at(*segment, page_size + 8) = 1;
  });
  EXPECT_TRUE(WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGBUS) << end.status;
  EXPECT_NE(end.words.find("hive: task 1 (cell 0): store to a closed page of cell 1 at 0x55"),
            std::string::npos)
      << end.words;
  EXPECT_NE(end.words.find("segment \"grid\", instruction 0x"), std::string::npos) << end.words;
  EXPECT_NE(end.words.find("a store without a write window\n"), std::string::npos) << end.words;
}

TEST_F(FaultTest, TornPagesAndFailedCellsAreNamed) {
  const Ending torn = ending_of([] {
    auto session = hive::attach({.cell = 0});
    auto segment = session->create("t", 4 * page_size, {.home = 1});
    { auto window = segment->write(0, 1); }
    const int value = *static_cast<volatile int*>(at(*segment, 0));
    ::_exit(value == 0 ? 0 : 1);
  });
  EXPECT_TRUE(died_of_fault(torn.status));
  EXPECT_NE(torn.words.find("load from a lost page of cell 1"), std::string::npos) << torn.words;

  const Ending down = ending_of([this] {
    auto session = hive::attach({.cell = 0});
    auto segment = session->create("d", 4 * page_size, {.home = 1});
    ::kill(machine.pid(1), SIGKILL);
    while (segment->touch(0, 1)) {
    }
    const int value = *static_cast<volatile int*>(at(*segment, page_size));
    ::_exit(value == 0 ? 0 : 1);
  });
  EXPECT_TRUE(died_of_fault(down.status));
  EXPECT_NE(down.words.find("memory of the failed cell 1"), std::string::npos) << down.words;
}

TEST_F(FaultTest, ATaskEndsWithAMessageWhenTheMemoryOfItsOwnCellFails) {
  const Ending end = ending_of([this] {
    auto session = hive::attach({.cell = 0});
    (void)machine.ask(0, "fail");
    while (session->create("s", 4096, {.home = 1})) {
    }
  });
  EXPECT_TRUE(died_of_fault(end.status)) << end.status;
  EXPECT_NE(end.words.find("hive: the memory of cell 0, to which this task belongs, has failed"),
            std::string::npos)
      << end.words;
}

TEST_F(FaultTest, KernelMemoryAndForeignNodesCannotBeStoredTo) {
  const auto layout = machine.layout();
  for (const std::uint64_t address :
       {layout.kernel_begin(0), layout.kernel_begin(0) + 4096 * 100, layout.kernel_begin(1),
        layout.user_begin(1), layout.user_end(0), layout.user_end(1) - 8}) {
    const Ending end = ending_of([&] {
      auto session = hive::attach({.cell = 0});
      *reinterpret_cast<volatile int*>(address) = 1;
    });
    EXPECT_TRUE(died_of_fault(end.status)) << std::hex << address;
    EXPECT_NE(end.words.find("store to a closed page of cell"), std::string::npos) << end.words;
  }
}

TEST_F(FaultTest, HandlersOfTheProgramFromBeforeAndAfterKeepTheirFaults) {
  install_mend();
  auto session = hive::attach({.cell = 0});
  ASSERT_TRUE(session);
  auto segment = session->create("s", 64 * page_size, {.home = 1});
  ASSERT_TRUE(segment);
  close_own_page();
  program_faults.store(0);
  *own_page() = 1;
  EXPECT_EQ(program_faults.load(), 1);
  EXPECT_EQ(*static_cast<volatile int*>(at(*segment, 0)), 0);

  ::signal(SIGSEGV, &jump);
  ::signal(SIGBUS, &jump);
  EXPECT_EQ(*static_cast<volatile int*>(at(*segment, 32 * page_size)), 0);  // still Hive's
  EXPECT_EQ(program_faults.load(), 1);
  close_own_page();
  if (sigsetjmp(back, 1) == 0) {
    *own_page() = 1;
    FAIL() << "the store went through";
  }
  EXPECT_EQ(program_faults.load(), 2);
  // A refused store is first told, then the program's to handle.
  if (sigsetjmp(back, 1) == 0) {
    *at(*segment, 0) = 1;
    FAIL() << "the store went through";
  }
  EXPECT_EQ(program_faults.load(), 3);
  EXPECT_EQ(*segment->read_as<int>(0), 0);

  { Session gone = std::move(*session); }
  close_own_page();
  if (sigsetjmp(back, 1) == 0) {
    *own_page() = 1;
    FAIL() << "the store went through";
  }
  EXPECT_EQ(program_faults.load(), 4);
  ::signal(SIGSEGV, SIG_DFL);
  ::signal(SIGBUS, SIG_DFL);
}

TEST_F(FaultTest, FaultsAreServedOnASmallAlternateStack) {
  auto session = hive::attach({.cell = 0});
  ASSERT_TRUE(session);
  auto segment = session->create("s", 64 * page_size, {.home = 1});
  ASSERT_TRUE(segment);
  std::thread([&] {
    // What programs give that follow the book; the frames of sanitizers are larger.
    const std::size_t extra = under_sanitizer ? 64 * 1024 : 0;
    std::vector<char> memory(static_cast<std::size_t>(::sysconf(_SC_SIGSTKSZ)) + extra);
    stack_t stack{};
    stack.ss_sp = memory.data();
    stack.ss_size = memory.size();
    ::sigaltstack(&stack, nullptr);
    for (std::uint64_t page = 0; page < 64; ++page) {
      EXPECT_EQ(*static_cast<volatile int*>(at(*segment, page * page_size)), 0);
    }
    stack.ss_flags = SS_DISABLE;
    ::sigaltstack(&stack, nullptr);
  }).join();
}

TEST_F(FaultTest, MemoryCallsAimedAtNodesAreRefused) {
  const Ending end = ending_of([] {
    auto session = hive::attach({.cell = 0});
    auto segment = session->create("s", 4 * page_size, {.home = 1});
    if (!segment || !segment->touch(0, segment->size())) ::_exit(1);
    void* const page = at(*segment, 0);
    if (::mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0 || errno != EPERM) ::_exit(2);
    if (::munmap(page, 4096) == 0 || errno != EPERM) ::_exit(3);
    if (::madvise(page, 4096, MADV_DONTNEED) == 0 || errno != EPERM) ::_exit(4);
    if (::mremap(page, 4096, 4096, MREMAP_MAYMOVE) != MAP_FAILED) ::_exit(5);
  });
  EXPECT_EQ(end.status, 0) << end.words;
}

}  // namespace
}  // namespace hive::test
