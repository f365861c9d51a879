#include "lib/program_signals.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" {
// The one below ours: of a sanitizer if there is one, else of the C library.
int __interceptor_sigaction(int, const struct sigaction*, struct sigaction*) noexcept
    __attribute__((weak));
int __sigaction(int, const struct sigaction*, struct sigaction*) noexcept;
}

namespace hive::lib {
namespace {

int real_sigaction(int signal, const struct sigaction* action, struct sigaction* old) noexcept {
  if (&__interceptor_sigaction != nullptr) return __interceptor_sigaction(signal, action, old);
  return __sigaction(signal, action, old);
}

constexpr std::array<int, 2> our_signals = {SIGSEGV, SIGBUS};
constexpr int index_of(int signal) { return signal == SIGSEGV ? 0 : signal == SIGBUS ? 1 : -1; }

// Guards the state below. sigaction() may be called in a signal handler, so: no signal reaches
// this thread while it holds the lock, and whoever waits for it lets others run.
class StateLock {
 public:
  StateLock() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    while (held_.test_and_set(std::memory_order_acquire)) ::sched_yield();
  }
  ~StateLock() {
    held_.clear(std::memory_order_release);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  StateLock(const StateLock&) = delete;
  StateLock& operator=(const StateLock&) = delete;
  static void reset() noexcept { held_.clear(); }

 private:
  static inline std::atomic_flag held_ = ATOMIC_FLAG_INIT;
  sigset_t before_{};
};

struct SignalState {
  bool ours = false;     // Linux has, or had when we last looked, our handler for it
  bool covered = false;  // somebody put another over it: what we found there may call us in turn
  struct sigaction program {};  // what the program wants
  struct sigaction below {};    // covered: what the program wanted when ours was first installed
};
std::array<SignalState, 2> states;  // guarded by StateLock
std::atomic<FaultHandler> our_handler{nullptr};

// The fault that this thread has just passed on; see pass_to_program().
thread_local const void* passing_on __attribute__((tls_model("initial-exec"))) = nullptr;

bool is_ours(const struct sigaction& action) noexcept {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction != nullptr &&
         action.sa_sigaction == our_handler.load();
}

int set_default(int signal) noexcept {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  return real_sigaction(signal, &action, nullptr);
}

// What to do with a fault that is not Hive's.
struct sigaction program_action(int signal, const void* ucontext) noexcept {
  const StateLock lock;
  SignalState& state = states[static_cast<std::size_t>(index_of(signal))];
  // A handler that covered ours and is now below us has called us: it must not get it again.
  const bool around = state.covered && passing_on == ucontext;
  struct sigaction& from = around ? state.below : state.program;
  const struct sigaction action = from;
  if ((action.sa_flags & static_cast<int>(SA_RESETHAND)) != 0) from.sa_handler = SIG_DFL;
  return action;
}

// As Linux does before it calls a handler; the return from ours restores the mask.
void block_for(int signal, const struct sigaction& action) noexcept {
  sigset_t blocked = action.sa_mask;
  if ((action.sa_flags & SA_NODEFER) == 0) ::sigaddset(&blocked, signal);
  ::pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
}

}  // namespace

void install_over_program(FaultHandler handler) noexcept {
  const StateLock lock;
  our_handler.store(handler);
  for (const int signal : our_signals) {
    SignalState& state = states[static_cast<std::size_t>(index_of(signal))];
    struct sigaction ours {};
    ours.sa_sigaction = handler;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    ::sigemptyset(&ours.sa_mask);
    struct sigaction found {};
    real_sigaction(signal, &ours, &found);
    if (!is_ours(found)) {
      if (state.ours && !state.covered) {
        state.covered = true;
        state.below = state.program;
      }
      state.program = found;
    }
    state.ours = true;
  }
}

void give_back_to_program() noexcept {
  const StateLock lock;
  for (const int signal : our_signals) {
    SignalState& state = states[static_cast<std::size_t>(index_of(signal))];
    struct sigaction found {};
    if (!state.ours || real_sigaction(signal, nullptr, &found) != 0 || !is_ours(found)) continue;
    real_sigaction(signal, &state.program, nullptr);
    // What is put back may still call us if it once covered us, so that is not forgotten.
    state.ours = state.covered;
  }
}

void pass_to_program(int signal, siginfo_t* info, void* ucontext, bool comes_again) noexcept {
  const struct sigaction action = program_action(signal, ucontext);
  const bool sent = info->si_code <= 0;  // by a process, not by the processor
  if (action.sa_handler == SIG_IGN && sent) return;
  if (action.sa_handler == SIG_IGN || action.sa_handler == SIG_DFL) {
    if (sent || !comes_again) die_of(signal);
    // The instruction faults again and ends the process, with a true core dump.
    set_default(signal);
    return;
  }
  block_for(signal, action);
  passing_on = ucontext;
  if ((action.sa_flags & SA_SIGINFO) != 0) {
    action.sa_sigaction(signal, info, ucontext);
  } else {
    action.sa_handler(signal);
  }
  passing_on = nullptr;
}

void die_of(int signal) noexcept {
  set_default(signal);
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  ::syscall(SYS_tgkill, ::getpid(), ::gettid(), signal);
  ::_exit(128 + signal);
}

void program_signals_after_fork() noexcept { StateLock::reset(); }

namespace {

// sigaction() as the program sees it.
int program_sigaction(int signal, const struct sigaction* action, struct sigaction* old) noexcept {
  if (index_of(signal) < 0) return real_sigaction(signal, action, old);
  const StateLock lock;
  SignalState& state = states[static_cast<std::size_t>(index_of(signal))];
  struct sigaction found {};
  const int asked = real_sigaction(signal, nullptr, &found);
  if (asked != 0 || !state.ours || !is_ours(found)) return real_sigaction(signal, action, old);
  const struct sigaction before = state.program;
  if (action != nullptr) state.program = *action;
  if (old != nullptr) *old = before;
  return 0;
}

}  // namespace
}  // namespace hive::lib

extern "C" {

int sigaction(int signal, const struct sigaction* action, struct sigaction* old) noexcept {
  return hive::lib::program_sigaction(signal, action, old);
}

sighandler_t signal(int signal, sighandler_t handler) noexcept {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  struct sigaction old {};
  if (hive::lib::program_sigaction(signal, &action, &old) != 0) return SIG_ERR;
  return old.sa_handler;
}

}  // extern "C"
