// How a process becomes a task.
#include <cerrno>
#include <mutex>
#include <utility>

#include <sched.h>
#include <sys/mman.h>

#include "lib/attach_target.h"
#include "lib/current_session.h"
#include "lib/deadline.h"
#include "lib/fault_handler.h"
#include "lib/fork_guard.h"
#include "lib/program_signals.h"
#include "lib/session_impl.h"

namespace hive::lib {
namespace {

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

// Whether the filter is in force: it outlives detaching and exec, and a second one would cost
// every system call of the process for nothing. Asked for nothing, Linux says yes and the filter
// says no.
bool is_filtered(const machine::Layout& layout) {
  const auto refused = [](std::uint64_t address) {
    return ::madvise(reinterpret_cast<void*>(address), 0, MADV_NORMAL) != 0 && errno == EPERM;
  };
  return refused(layout.base) && refused(layout.held_end() - machine::page_bytes);
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
  auto state = std::make_unique<CallState>(processors(), layout);
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
  forget_inherited_session(*process_id);
  ProcessSession& process = process_session();
  const std::scoped_lock lock(process.mutex);
  if (process.session != nullptr) {
    return fail(Code::busy, "this process is attached already", process.session->membership_.cell);
  }
  // First, because everything that is read of a cell is read with care.
  install_over_program(&handle_fault);
  auto session = attach_locked(*target, *process_id);
  if (!session) {
    give_back_to_program();
    return session;
  }
  process.session = *session;
  publish_session(session->get());
  return session;
}

}  // namespace hive::lib
