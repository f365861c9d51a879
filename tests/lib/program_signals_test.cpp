// A program's own handlers for SIGSEGV and SIGBUS beside Hive's.
#include "lib/program_signals.h"

#include <csetjmp>
#include <cstdint>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>


namespace hive::lib {
namespace {

volatile int ours_calls = 0;
volatile int program_calls = 0;
volatile bool program_mask_had_signal = false;
sigjmp_buf back;
char* closed = nullptr;  // a page that faults; Hive's in these tests if ours_takes is set
volatile bool ours_takes = false;

void open_page() { ::mprotect(closed, 4096, PROT_READ | PROT_WRITE); }
void close_page() { ::mprotect(closed, 4096, PROT_NONE); }

void ours(int signal, siginfo_t* info, void* context) {
  ours_calls = ours_calls + 1;
  if (ours_takes && info->si_code > 0) return open_page();
  pass_to_program(signal, info, context);
}

void program_with_info(int signal, siginfo_t* info, void*) {
  program_calls = program_calls + 1;
  sigset_t mask;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  program_mask_had_signal = sigismember(&mask, signal) == 1;
  if (info->si_addr == closed) open_page();
}
void program_plain(int) {
  program_calls = program_calls + 1;
  open_page();
}
void program_jumps(int) {
  program_calls = program_calls + 1;
  siglongjmp(back, 1);
}

struct sigaction action_of(void (*handler)(int, siginfo_t*, void*), int flags = SA_SIGINFO) {
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = flags;
  return action;
}

class ProgramSignals : public ::testing::Test {
 protected:
  ProgramSignals() {
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    if (closed == nullptr) {
      closed =
          static_cast<char*>(::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    }
    close_page();
    ours_calls = 0;
    program_calls = 0;
    ours_takes = false;
    ::sigaction(SIGSEGV, nullptr, &at_first_);
  }
  ~ProgramSignals() override {
    give_back_to_program();
    ::sigaction(SIGSEGV, &at_first_, nullptr);
  }
  static void touch() { *const_cast<volatile char*>(closed) = 1; }
  struct sigaction at_first_ {};
};

TEST_F(ProgramSignals, HandlerFromBeforeGetsWhatIsNotHives) {
  const auto action = action_of(&program_with_info);
  ::sigaction(SIGSEGV, &action, nullptr);
  install_over_program(&ours);
  touch();
  EXPECT_EQ(ours_calls, 1);
  EXPECT_EQ(program_calls, 1);
  EXPECT_TRUE(program_mask_had_signal);  // as Linux would have it
  give_back_to_program();
  close_page();
  touch();
  EXPECT_EQ(ours_calls, 1);
  EXPECT_EQ(program_calls, 2);
}

TEST_F(ProgramSignals, HandlerFromAfterwardsDoesNotCoverHives) {
  install_over_program(&ours);
  const auto action = action_of(&program_with_info);
  ::sigaction(SIGSEGV, &action, nullptr);
  ours_takes = true;
  touch();
  EXPECT_EQ(ours_calls, 1);
  EXPECT_EQ(program_calls, 0);
  ours_takes = false;
  close_page();
  touch();
  EXPECT_EQ(ours_calls, 2);
  EXPECT_EQ(program_calls, 1);
}

TEST_F(ProgramSignals, TheProgramSeesItsOwnSettings) {
  const auto first = action_of(&program_with_info, SA_SIGINFO | SA_NODEFER);
  ::sigaction(SIGSEGV, &first, nullptr);
  install_over_program(&ours);
  struct sigaction seen {};
  ASSERT_EQ(::sigaction(SIGSEGV, nullptr, &seen), 0);
  EXPECT_EQ(seen.sa_sigaction, &program_with_info);
  EXPECT_EQ(seen.sa_flags & (SA_SIGINFO | SA_NODEFER), SA_SIGINFO | SA_NODEFER);
  EXPECT_NE(::signal(SIGSEGV, &program_plain), SIG_ERR);
  EXPECT_EQ(::signal(SIGSEGV, &program_plain), &program_plain);
  give_back_to_program();
  EXPECT_EQ(::signal(SIGSEGV, SIG_DFL), &program_plain);
}

TEST_F(ProgramSignals, PlainHandlersAndThoseThatJumpOutWork) {
  install_over_program(&ours);
  ::signal(SIGSEGV, &program_plain);
  touch();
  EXPECT_EQ(program_calls, 1);
  ::signal(SIGSEGV, &program_jumps);
  for (int i = 0; i < 5; ++i) {
    close_page();
    if (sigsetjmp(back, 1) == 0) {
      touch();
      FAIL() << "the store went through";
    }
  }
  EXPECT_EQ(program_calls, 6);
  sigset_t mask;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  EXPECT_EQ(sigismember(&mask, SIGSEGV), 0);
}

TEST_F(ProgramSignals, OneShotHandlersAreCalledOnce) {
  const auto once = action_of(&program_with_info, static_cast<int>(SA_SIGINFO | SA_RESETHAND));
  install_over_program(&ours);
  ::sigaction(SIGSEGV, &once, nullptr);
  touch();
  EXPECT_EQ(program_calls, 1);
  struct sigaction seen {};
  ::sigaction(SIGSEGV, nullptr, &seen);
  EXPECT_EQ(seen.sa_handler, SIG_DFL);
}

TEST_F(ProgramSignals, WithoutAHandlerTheProcessDiesOfTheSignal) {
  EXPECT_EXIT(
      {
        ::signal(SIGSEGV, SIG_DFL);
        install_over_program(&ours);
        touch();
      },
      ::testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(
      {
        ::signal(SIGBUS, SIG_DFL);
        install_over_program(&ours);
        ::raise(SIGBUS);
      },
      ::testing::KilledBySignal(SIGBUS), "");
}

TEST_F(ProgramSignals, AnIgnoredSignalThatSomebodySendsIsIgnored) {
  ::signal(SIGBUS, SIG_IGN);
  install_over_program(&ours);
  ::raise(SIGBUS);
  EXPECT_EQ(ours_calls, 1);
  give_back_to_program();
  ::signal(SIGBUS, SIG_DFL);
}

// As a library with its own copy of sigaction would do it.
struct KernelAction {
  void (*handler)(int, siginfo_t*, void*);
  unsigned long flags;
  void (*restorer)();
  std::uint64_t mask;
};
KernelAction covered{};
volatile int covering_calls = 0;

void covering(int signal, siginfo_t* info, void* context) {
  covering_calls = covering_calls + 1;
  if (covering_calls < 10) covered.handler(signal, info, context);  // passes on, as is the custom
}

TEST_F(ProgramSignals, AHandlerPutOverHivesByOtherMeansStaysAndNeverLoops) {
  ::signal(SIGSEGV, &program_plain);
  install_over_program(&ours);
  ASSERT_EQ(::syscall(SYS_rt_sigaction, SIGSEGV, nullptr, &covered, 8), 0);
  KernelAction action = covered;
  action.handler = &covering;
  ASSERT_EQ(::syscall(SYS_rt_sigaction, SIGSEGV, &action, nullptr, 8), 0);
  touch();  // covering -> ours -> program
  EXPECT_EQ(covering_calls, 1);
  EXPECT_EQ(program_calls, 1);
  give_back_to_program();  // it is not ours to remove
  close_page();
  touch();
  EXPECT_EQ(covering_calls, 2);
  EXPECT_EQ(program_calls, 2);
  install_over_program(&ours);  // ours -> covering -> ours -> program, and no further
  close_page();
  touch();
  EXPECT_EQ(covering_calls, 3);
  EXPECT_EQ(program_calls, 3);
  ::syscall(SYS_rt_sigaction, SIGSEGV, &covered, nullptr, 8);
}

}  // namespace
}  // namespace hive::lib
