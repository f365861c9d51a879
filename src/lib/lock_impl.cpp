#include "lib/lock_impl.h"

#include <array>

#include "base/safe_copy.h"
#include "lib/causes.h"
#include "lib/deadline.h"
#include "lib/patience.h"
#include "lib/thread_sanitizer.h"
#include "proto/causes.h"

namespace hive::lib {

using machine::page_bytes;
using proto::GateOp;
using proto::lock_waiters;

Result<std::shared_ptr<LockImpl>> LockImpl::open(SegmentImpl& segment, proto::LockKind kind,
                                                 std::string_view name) {
  auto opened = segment.call({.op = GateOp::lock_open,
                              .args = {segment.id(), static_cast<std::uint64_t>(kind)},
                              .name = name});
  if (!opened) return fail(opened.error());
  const auto [object, page, token, state] = *opened;
  const machine::Layout& layout = segment.session()->membership().layout;
  const CellId home = segment.home();
  // What a home says is input.
  if (object > UINT32_MAX || page >= layout.user_pages() || token > proto::lock_owner_mask ||
      token == 0 || state % 64 >= 64 - sizeof(proto::LockState) ||
      !layout.in_kernel(home, state) ||
      !layout.in_kernel(home, state + sizeof(proto::LockState))) {
    return fail(Code::corrupt, cause_bad_reply, home);
  }
  return std::make_shared<LockImpl>(segment.session(), &segment.peer(),
                                    static_cast<std::uint32_t>(object),
                                    static_cast<std::uint32_t>(page),
                                    static_cast<std::uint32_t>(token), state);
}

LockImpl::LockImpl(std::shared_ptr<SessionImpl> session, Peer* peer, std::uint32_t object,
                   std::uint32_t page, std::uint32_t token, std::uint64_t state)
    : session_(std::move(session)),
      peer_(peer),
      object_(object),
      page_(page),
      token_(token),
      state_(reinterpret_cast<const proto::LockState*>(state)) {}

std::uint32_t* LockImpl::word() const {
  const std::uint64_t begin = session_->membership().layout.user_begin(peer_->cell());
  return reinterpret_cast<std::uint32_t*>(begin + page_ * page_bytes);
}

Failure LockImpl::failed(Code code, const char* cause) const {
  Error e = error(code, cause, peer_->cell());
  e.epoch = session_->epoch();
  return fail(e);
}

// Touches the word, and has the page brought in when it is not there.
template <class Touch>
Result<void> LockImpl::touch(Touch touch) {
  const Patience patience;
  for (int tries = 0; tries < lock_page_tries_max; ++tries) {
    {
      const PeerUse use(peer_);
      if (!use) return failed(Code::cell_down, cause_home_failed);
      if (touch()) return use->gate().check_server();
    }
    auto brought = session_->call(*peer_, {.op = GateOp::fault,
                                           .args = {reinterpret_cast<std::uint64_t>(word()), 1}});
    if (brought) continue;
    if (!patience.allows(brought.error().code)) return fail(brought.error());
    session_->pause(patience_pause_ns);
    --tries;  // bounded by the patience
  }
  return failed(Code::corrupt, "the page of the mutex cannot be reached");
}

Result<std::uint32_t> LockImpl::load() {
  std::uint32_t value = 0;
  if (auto done = touch([&] { return safe_load32(word(), value); }); !done) {
    return fail(done.error());
  }
  return value;
}

Result<std::uint32_t> LockImpl::exchange(std::uint32_t expected, std::uint32_t desired) {
  std::uint32_t found = expected;
  const auto attempt = [&] {
    found = expected;
    return safe_compare_exchange32(word(), found, desired);
  };
  if (auto done = touch(attempt); !done) {
    // The home failed, but perhaps after the exchange: the lock is worth nothing any more.
    return fail(done.error());
  }
  return found;
}

Result<void> LockImpl::check() const {
  if (auto usable = session_->check(); !usable) return usable;
  std::uint32_t broken = 0;
  if (!safe_load32(&state_->broken, broken) || peer_->retired())
    return failed(Code::cell_down, cause_home_failed);
  if (broken != 0) return failed(Code::lost, proto::cause::lock_broken);
  return {};
}

bool LockImpl::is_broken() const {
  const auto sound = check();
  return !sound && sound.error().code == Code::lost;
}

Result<std::uint32_t> LockImpl::generation() const {
  std::uint32_t generation = 0;
  if (!safe_load32(&state_->generation, generation) || peer_->retired()) {
    return failed(Code::cell_down, cause_home_failed);
  }
  return generation;
}

Result<void> LockImpl::try_lock() {
  if (auto sound = check(); !sound) return sound;
  const auto found = exchange(0, token_);
  if (!found) return fail(found.error());
  if (*found != 0) return failed(Code::busy, "another task holds the mutex");
  order_after_release(word());
  return {};
}

Result<void> LockImpl::lock(std::uint64_t deadline_ns) {
  std::uint32_t mine = token_;
  for (;;) {  // ends at the deadline
    // In this order: what is written after these are read ends the sleep below at once.
    const std::uint32_t epoch = session_->epoch_word();
    const auto change = generation();
    if (!change) return fail(change.error());
    if (auto sound = check(); !sound) return sound;
    auto found = exchange(0, mine);
    if (!found) return fail(found.error());
    if (*found == 0) {
      order_after_release(word());
      return {};
    }
    // From here on we take it as one who may have left others asleep behind him.
    mine = token_ | lock_waiters;
    if ((*found & lock_waiters) == 0) {
      const auto marked = exchange(*found, *found | lock_waiters);
      if (!marked) return fail(marked.error());
      if (*marked != *found) continue;
    }
    // Only now: a wake that was meant for whoever waits has been passed on with the mark.
    if (now_ns() >= deadline_ns) return failed(Code::timed_out, proto::cause::wait_too_long);
    const auto* futex = reinterpret_cast<const std::atomic<std::uint32_t>*>(word());
    const std::array<FutexWord, 2> words = {
        {{futex, *found | lock_waiters}, {&state_->generation, *change}}};
    session_->sleep_on(words, epoch, deadline_ns);
  }
}

Result<void> LockImpl::unlock() {
  if (auto usable = session_->check(); !usable) return usable;
  order_before_acquire(word());
  auto found = exchange(token_, 0);
  if (!found) return fail(found.error());
  if (*found == token_) return {};
  if (*found != (token_ | lock_waiters)) return failed(Code::bad_argument, proto::cause::not_held);
  // Only we change the word while we hold it, but for the mark of those who wait, which is there.
  found = exchange(token_ | lock_waiters, 0);
  if (!found) return fail(found.error());
  futex_wake(reinterpret_cast<const std::atomic<std::uint32_t>*>(word()), 1);
  return {};
}

Result<void> LockImpl::reset() {
  auto done = session_->call(*peer_, {.op = GateOp::lock_reset, .args = {object_}});
  if (!done) return fail(done.error());
  return {};
}

Result<std::uint32_t> LockImpl::sequence() { return load(); }

Result<void> LockImpl::wait_for(std::uint32_t seen, std::uint64_t deadline_ns) {
  const std::uint32_t epoch = session_->epoch_word();
  const auto change = generation();
  if (!change) return fail(change.error());
  const auto* futex = reinterpret_cast<const std::atomic<std::uint32_t>*>(word());
  const std::array<FutexWord, 2> words = {{{futex, seen}, {&state_->generation, *change}}};
  for (;;) {  // ends at the deadline
    if (auto usable = session_->check(); !usable) return usable;
    const auto now_is = load();
    if (!now_is) return fail(now_is.error());
    const auto change_now = generation();
    if (!change_now) return fail(change_now.error());
    if (*now_is != seen || *change_now != *change || session_->epoch_word() != epoch) return {};
    if (now_ns() >= deadline_ns) return failed(Code::timed_out, proto::cause::wait_too_long);
    session_->sleep_on(words, epoch, deadline_ns);
  }
}

Result<void> LockImpl::notify(int count) {
  if (auto usable = session_->check(); !usable) return usable;
  auto before = load();
  while (before) {  // each failure is a step of another task
    const auto found = exchange(*before, *before + 1);
    if (!found) return fail(found.error());
    if (*found == *before) {
      futex_wake(reinterpret_cast<const std::atomic<std::uint32_t>*>(word()), count);
      return {};
    }
    before = found;
  }
  return fail(before.error());
}

}  // namespace hive::lib
