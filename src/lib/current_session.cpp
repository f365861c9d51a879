#include "lib/current_session.h"

#include <atomic>

#include <pthread.h>
#include <sched.h>

#include "base/time.h"
#include "lib/program_signals.h"
#include "lib/session_impl.h"

namespace hive::lib {
namespace {

std::atomic<SessionImpl*> current{nullptr};
std::atomic<std::uint32_t> uses{0};

// Never destroyed: a program's static objects may attach early and detach late.
ProcessSession*& instance() {
  static ProcessSession* session = new ProcessSession;
  return session;
}

void after_fork_in_child() {
  program_signals_after_fork();
  uses.store(0);
  if (SessionImpl* const inherited = current.exchange(nullptr)) inherited->close_in_child();
  // What the parent had is kept as it is, for ever: its destructors are about the parent's things.
  instance() = new ProcessSession;
}

}  // namespace

ProcessSession& process_session() { return *instance(); }

void watch_for_forks() {
  static const int once = ::pthread_atfork(nullptr, nullptr, &after_fork_in_child);
  (void)once;
}

void forget_inherited_session(std::uint64_t process) {
  SessionImpl* const session = current.load();
  if (session != nullptr && session->membership().process != process) after_fork_in_child();
}

void publish_session(SessionImpl* session) noexcept { current.store(session); }

bool withdraw_session(std::uint64_t deadline_ns) noexcept {
  current.store(nullptr);
  while (uses.load() != 0) {
    if (now_ns() >= deadline_ns) return false;
    ::sched_yield();
  }
  return true;
}

SessionUse::SessionUse() noexcept {
  uses.fetch_add(1);
  session_ = current.load();
}

SessionUse::~SessionUse() { uses.fetch_sub(1); }

}  // namespace hive::lib
