#include "lib/session_impl.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/safe_copy.h"
#include "lib/causes.h"
#include "lib/current_session.h"
#include "lib/deadline.h"
#include "lib/fork_guard.h"
#include "lib/program_signals.h"

namespace hive::lib {

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
  ProcessSession& process = process_session();
  const std::scoped_lock lock(process.mutex);
  const std::uint64_t deadline_ns = deadline_in(detach_timeout_ns);
  if (withdraw_session(deadline_ns) && peers_->retire_all(deadline_ns)) {
    give_back_to_program();
    machine::release_machine_range(membership_.layout);
  } else {
    // A thread is still inside: the memory that it looks at stays, and so does our handler.
    stuck_.store(true);
    peers_->hang_up_all();
  }
  if (process.session.get() == this) process.session.reset();
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

std::optional<News> SessionImpl::next_news() {
  const SessionUse use;
  if (!check_in(use)) return std::nullopt;
  return peers_->news().next(*peers_, names_);
}

void SessionImpl::sleep_on(std::span<const FutexWord> words, std::uint32_t epoch,
                           std::uint64_t deadline_ns) const noexcept {
  const SessionUse use;
  if (!check_in(use)) return;
  std::array<FutexWord, 4> all{};
  HIVE_CHECK(words.size() + 2 <= all.size());
  std::ranges::copy(words, all.begin());
  all[words.size()] = {&membership_.own_header()->epoch_word, epoch};
  all[words.size() + 1] = {&state_->closing, 0};
  const std::uint64_t until = std::min(deadline_ns, now_ns() + sleep_slice_ns);
  if (futex_wait_any({all.data(), words.size() + 2}, until) == FutexWait::fault) pause(ns_per_ms);
}

std::uint32_t SessionImpl::epoch_word() const noexcept {
  const SessionUse use;
  std::uint32_t epoch = 0;
  if (check_in(use)) (void)safe_load32(&membership_.own_header()->epoch_word, epoch);
  return epoch;
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

}  // namespace hive::lib
