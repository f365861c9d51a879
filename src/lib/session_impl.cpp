#include "lib/session_impl.h"

#include <cerrno>
#include <mutex>
#include <utility>

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "base/safe_copy.h"
#include "lib/attach_target.h"
#include "lib/causes.h"
#include "lib/deadline.h"
#include "lib/fault_handler.h"
#include "lib/fork_guard.h"
#include "lib/program_signals.h"

namespace hive::lib {
namespace {

// The session of this process. Replaced as a whole in a child of fork, where another thread of the
// parent may have held the mutex.
struct Process {
  std::mutex mutex;                      // attaching and detaching
  std::shared_ptr<SessionImpl> session;  // guarded by mutex; null: not attached
};
Process* process = new Process;  // never destroyed: a program's static objects may detach late

// The same for whoever must not wait: fault handlers, and short looks at the cells' memory.
std::atomic<SessionImpl*> current{nullptr};
std::atomic<std::uint32_t> uses{0};

void after_fork_in_child() {
  program_signals_after_fork();
  uses.store(0);
  if (SessionImpl* const inherited = current.exchange(nullptr)) inherited->close_in_child();
  // What the parent had is kept as it is, for ever: its destructors are about the parent's things.
  process = new Process;
}

void watch_for_forks() {
  static const int once = ::pthread_atfork(nullptr, nullptr, &after_fork_in_child);
  (void)once;
}

int processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

// Attaches to the cell that is meant; for "any", to the lowest that answers.
Result<Attached> attach_own(const AttachTarget& target) {
  HandshakeWish wish;
  wish.dir = target.dir;
  wish.cookie = target.cookie;
  wish.program = program_name();
  const std::uint64_t deadline_ns = deadline_in(attach_timeout_ns);
  if (target.cell >= 0) {
    wish.cell = wish.own_cell = target.cell;
    return shake_hands(wish, deadline_ns);
  }
  Error last = error(Code::not_found, "the machine has no cell that could be attached to");
  for (CellId cell = 0; cell < max_cells && now_ns() < deadline_ns; ++cell) {
    wish.cell = wish.own_cell = cell;
    // A cell that hangs must not use up the time for those after it.
    const std::uint64_t share_ns = deadline_in((deadline_ns - now_ns()) / 2);
    auto attached = shake_hands(wish, share_ns);
    if (attached) return attached;
    if (attached.error().code == Code::not_found) continue;
    last = attached.error();
    if (last.code != Code::cell_down && last.code != Code::timed_out) break;
  }
  return fail(last);
}

Membership make_membership(const AttachTarget& target, const Attached& attached,
                           std::uint64_t process_id) {
  const proto::AttachWelcome& welcome = attached.welcome;
  Membership membership;
  membership.process = process_id;
  membership.machine = target.machine;
  membership.dir = target.dir;
  membership.program = program_name();
  membership.cell = welcome.node;
  membership.task = welcome.task;
  membership.layout = welcome.layout;
  membership.span_index = welcome.span_index;
  membership.span_count = welcome.span_count;
  membership.span_id = welcome.span_id.data();
  return membership;
}

// Whether the filter is in force: it outlives detaching and exec, and a second one would cost every
// system call of the process for nothing. Asked for nothing, Linux says yes and the filter says no.
bool is_filtered(const machine::Layout& layout) {
  const auto refused = [](std::uint64_t address) {
    return ::madvise(reinterpret_cast<void*>(address), 0, MADV_NORMAL) != 0 && errno == EPERM;
  };
  return refused(layout.base) && refused(layout.end() - machine::page_bytes);
}

Result<std::shared_ptr<SessionImpl>> attach_locked(const AttachTarget& target,
                                                   std::uint64_t process_id) {
  auto attached = attach_own(target);
  if (!attached) return fail(attached.error());
  const machine::Layout layout = attached->welcome.layout;
  const auto give_up = [&](const Error& e) {
    machine::release_machine_range(layout);
    return fail(e);
  };
  Membership membership = make_membership(target, *attached, process_id);
  auto state = std::make_unique<CallState>(processors());
  auto own = Peer::create(std::move(*attached), membership, *state);
  if (!own) return give_up(own.error());
  if (!is_filtered(layout)) {
    if (auto done = machine::install_memory_call_filter(layout); !done) {
      own->reset();
      return give_up(done.error());
    }
  }
  return std::make_shared<SessionImpl>(std::move(membership), std::move(state), std::move(*own));
}

}  // namespace

Result<std::shared_ptr<SessionImpl>> SessionImpl::attach(const AttachOptions& options) {
  const auto process_id = this_process();
  if (!process_id) return fail(process_id.error());
  auto target = attach_target(options);
  if (!target) return fail(target.error());
  watch_for_forks();
  // A child that was made behind the back of pthread_atfork.
  if (SessionImpl* const inherited = current.load();
      inherited != nullptr && inherited->membership_.process != *process_id) {
    after_fork_in_child();
  }
  const std::scoped_lock lock(process->mutex);
  if (process->session != nullptr) {
    return fail(Code::busy, "this process is attached already", process->session->membership_.cell);
  }
  // First, because everything that is read of a cell is read with care.
  install_over_program(&handle_fault);
  auto session = attach_locked(*target, *process_id);
  if (!session) {
    give_back_to_program();
    return session;
  }
  process->session = *session;
  current.store(session->get());
  return session;
}

SessionImpl::SessionImpl(Membership membership, std::unique_ptr<CallState> state,
                         std::unique_ptr<Peer> own)
    : membership_(std::move(membership)),
      state_(std::move(state)),
      peers_(std::make_unique<PeerTable>(membership_, *state_, std::move(own))) {}

SessionImpl::~SessionImpl() {
  detach();
  if (stuck_.load() || membership_.process != known_process()) {
    (void)peers_.release();
    (void)state_.release();
  }
}

void SessionImpl::detach() noexcept {
  if (membership_.process != known_process() || detached_.exchange(true)) return;
  // Those who wait in calls are sent home first; then nobody new gets in.
  state_->closing.store(1);
  futex_wake(&state_->closing, 1 << 20);
  const std::scoped_lock lock(process->mutex);
  const std::uint64_t deadline_ns = deadline_in(detach_timeout_ns);
  current.store(nullptr);
  while (uses.load() != 0 && now_ns() < deadline_ns) ::sched_yield();
  const bool all_out = uses.load() == 0 && peers_->retire_all(deadline_ns);
  if (all_out) {
    give_back_to_program();
    machine::release_machine_range(membership_.layout);
  } else {
    stuck_.store(true);  // a thread is still inside one: its memory stays, and our handler
  }
  if (process->session.get() == this) process->session.reset();
}

Result<void> SessionImpl::check() const noexcept {
  if (membership_.process != known_process()) return fail(Code::refused, cause_forked);
  if (detached_.load()) return fail(Code::refused, cause_detached, membership_.cell);
  return {};
}

Result<Peer*> SessionImpl::attached_to(CellId cell) {
  const SessionUse use;
  if (auto usable = check_in(use); !usable) return fail(usable.error());
  return peers_->attached_to(cell);
}

Result<GateValues> SessionImpl::call(Peer& peer, const GateCall& call) noexcept {
  if (auto usable = check(); !usable) return fail(usable.error());
  const PeerUse use(&peer);
  if (!use) return fail(Code::cell_down, cause_cell_failed, peer.cell());
  auto values = use->gate().call(call);
  // Told to go, the cell lets go of those who wait: what it tells them is about that.
  if (!values && detached_.load()) return fail(Code::refused, cause_detached, peer.cell());
  return values;
}

Result<void> SessionImpl::check_in(const SessionUse& use) const noexcept {
  if (auto usable = check(); !usable) return usable;
  if (!use || &*use != this) return fail(Code::refused, cause_detached, membership_.cell);
  return {};
}

void SessionImpl::pause(std::uint64_t ns) const noexcept {
  if (check()) futex_wait(&state_->closing, 0, now_ns() + ns);
}

std::uint64_t SessionImpl::epoch() const noexcept {
  const SessionUse use;
  std::uint64_t epoch = 0;
  if (check_in(use)) (void)safe_load64(&membership_.own_header()->epoch, epoch);
  return epoch;
}

CellSet SessionImpl::live_set() const noexcept {
  const SessionUse use;
  std::uint64_t live = 0;
  if (check_in(use)) (void)safe_load64(&membership_.own_header()->live_set, live);
  return CellSet(live);
}

SessionUse::SessionUse() noexcept {
  uses.fetch_add(1);
  session_ = current.load();
}

SessionUse::~SessionUse() { uses.fetch_sub(1); }

}  // namespace hive::lib
