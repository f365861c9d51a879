#include "lib/fault_handler.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <optional>

#include <ucontext.h>

#include "base/safe_copy.h"
#include "base/time.h"
#include "lib/current_session.h"
#include "lib/fault_report.h"
#include "lib/guard.h"
#include "lib/patience.h"
#include "lib/program_signals.h"
#include "lib/session_impl.h"
#include "proto/gate.h"

namespace hive::lib {
namespace {

constexpr greg_t trap_page_fault = 14;
constexpr greg_t page_fault_is_store = 2;
// Faults at the same place that are further apart than this are not "in one go".
constexpr std::uint64_t repeat_gap_ns = 100 * ns_per_ms;

// How this thread got on with its last fault.
struct Repeats {
  std::uint64_t address = 0;
  std::uint64_t instruction = 0;
  std::uint64_t last_ns = 0;
  int count = 0;
  bool reported = false;  // this fault had its message; the program's handler let it happen again
};
thread_local Repeats repeats __attribute__((tls_model("initial-exec")));

Fault describe(const siginfo_t* info, const void* ucontext) noexcept {
  const auto& registers = static_cast<const ucontext_t*>(ucontext)->uc_mcontext.gregs;
  Fault fault;
  fault.address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  fault.instruction = static_cast<std::uint64_t>(registers[REG_RIP]);
  fault.is_store =
      registers[REG_TRAPNO] == trap_page_fault && (registers[REG_ERR] & page_fault_is_store) != 0;
  return fault;
}

// False when this fault came too often in one go.
bool note(const Fault& fault) noexcept {
  const std::uint64_t now = now_ns();
  if (fault.address != repeats.address || fault.instruction != repeats.instruction) {
    repeats = {fault.address, fault.instruction, now, 0, false};
  } else if (now - repeats.last_ns > repeat_gap_ns) {
    repeats.count = 0;
  }
  repeats.last_ns = now;
  return ++repeats.count <= fault_repeats_max;
}

void pause_for(std::uint64_t ns) noexcept {
  static const std::atomic<std::uint32_t> never{0};
  futex_wait(&never, 0, now_ns() + ns);
}

Result<void> ask(SessionImpl& session, Peer& peer, const Fault& fault) noexcept {
  GateCall call;
  call.op = proto::GateOp::fault;
  call.args = {fault.address, fault.is_store ? std::uint64_t{1} : 0, fault.instruction};
  const Patience patience;
  while (true) {
    auto served = session.call(peer, call);
    if (served) return {};
    if (!patience.allows(served.error().code)) return fail(served.error());
    pause_for(patience_pause_ns);
  }
}

// Has the page brought in. Errors: why it cannot be, for people and then for the program.
Result<void> serve(SessionImpl& session, const Fault& fault) noexcept {
  const Membership& membership = session.membership();
  if (session.views().is_view(fault.address)) {
    auto served = session.views().serve(session, fault);
    if (!served || note(fault)) return served;
    return fail(Code::refused, "the cell gave the page again and again, to no effect");
  }
  const CellId node = membership.layout.node_of(fault.address);
  Peer* const peer = session.find(node);
  if (peer == nullptr || !membership.layout.in_user(node, fault.address)) {
    // Nothing there can ever be given. A stray store is made known all the same, to the cell that
    // it was aimed at, or else to our own.
    Peer* const witness = peer != nullptr ? peer : session.find(membership.cell);
    if (fault.is_store && witness != nullptr) (void)ask(session, *witness, fault);
    const bool kernel = membership.layout.in_kernel(node, fault.address);
    return fail(
        Code::refused,
        kernel ? "it is memory of the cell's kernel" : "no open segment of this task is there",
        node);
  }
  if (auto served = ask(session, *peer, fault); !served) return served;
  if (!note(fault)) {
    return fail(Code::refused, "the cell gave the page again and again, to no effect", node);
  }
  return {};
}

// Why one of Hive's addresses cannot be served.
struct Unserved {
  std::optional<Error> why;  // for a guarded block, which is told instead of the person who reads
                             // messages
  bool is_bus = false;       // the end of a file, or of its home, whatever Linux calls it
};

// True: the instruction may be tried again.
bool serve_fault(const siginfo_t* info, const void* ucontext, Unserved& unserved) noexcept {
  if (info->si_code <= 0) return false;  // sent by a process; there is no address
  const SessionUse session;
  if (!session) return false;
  const Fault fault = describe(info, ucontext);
  const bool is_node = session->membership().layout.node_of(fault.address) >= 0;
  const bool is_view = session->views().is_view(fault.address);
  if (!is_node && !is_view) return false;
  if (!session->check()) return false;
  const auto served = serve(*session, fault);
  if (served) return true;
  unserved = {served.error(), is_view && served.error().code != Code::refused};
  if (has_guard()) return false;
  const bool again = repeats.reported && repeats.address == fault.address &&
                     repeats.instruction == fault.instruction;
  if (!again) report_fault(*session, fault, served.error());
  repeats = {fault.address, fault.instruction, now_ns(), 0, true};
  return false;
}

// Lets faults through while a fault is served: reading the memory of a cell that has died is one,
// which the copy routine expects, and which would end the process if it were blocked. Linux does
// not block them for our handler; what was put over it and calls it (a handler of the program, a
// sanitizer) may have done so.
class FaultsLetThrough {
 public:
  FaultsLetThrough() noexcept {
    sigset_t faults;
    ::sigemptyset(&faults);
    ::sigaddset(&faults, SIGBUS);
    ::sigaddset(&faults, SIGSEGV);
    ::pthread_sigmask(SIG_UNBLOCK, &faults, &before_);
  }
  FaultsLetThrough(const FaultsLetThrough&) = delete;
  FaultsLetThrough& operator=(const FaultsLetThrough&) = delete;
  ~FaultsLetThrough() {
    if (::sigismember(&before_, SIGBUS) == 0 && ::sigismember(&before_, SIGSEGV) == 0) return;
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t before_;
};

bool serve_with_faults_let_through(const siginfo_t* info, const void* ucontext,
                                   Unserved& unserved) noexcept {
  const FaultsLetThrough let_through;
  return serve_fault(info, ucontext, unserved);
}

}  // namespace

void handle_fault(int signal, siginfo_t* info, void* ucontext) noexcept {
  if (safe_copy_fixup(ucontext)) return;
  const int saved = errno;
  Unserved unserved;
  if (!serve_with_faults_let_through(info, ucontext, unserved)) {
    errno = saved;
    if (unserved.why && has_guard()) {
      // As a return does: what came before our handler and called it may have blocked signals.
      ::pthread_sigmask(SIG_SETMASK, &static_cast<ucontext_t*>(ucontext)->uc_sigmask, nullptr);
      jump_to_guard(*unserved.why);
    }
    if (unserved.is_bus && signal == SIGSEGV) {
      siginfo_t bus = *info;
      bus.si_signo = SIGBUS;
      bus.si_code = BUS_ADRERR;
      pass_to_program(SIGBUS, &bus, ucontext, false);
    } else {
      pass_to_program(signal, info, ucontext);
    }
  }
  errno = saved;
}

}  // namespace hive::lib
