// A session: what the public Session and everything that came from it hold on to.
//
// Life: attach() makes one and enters it as the session of this process; detach() ends it. The
// object itself stays as long as a Segment or another helper points to it; calls then say
// `refused`. A child of fork has a copy, which it must not use: every call looks at that first.
//
// Locks: the session of this process (current_session.h), then PeerTable's, then WindowRanges'.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <hive/error.h>
#include <hive/session.h>
#include "base/futex.h"
#include "lib/gate_client.h"
#include "lib/membership.h"
#include "lib/peer_table.h"
#include "lib/segment_names.h"

namespace hive::lib {

// How long detaching waits for calls of other threads, which it tells to end.
inline constexpr std::uint64_t detach_timeout_ns = 5 * ns_per_s;

class SessionUse;

class SessionImpl {
 public:
  // Errors: see Session::attach.
  static Result<std::shared_ptr<SessionImpl>> attach(const AttachOptions& options);
  SessionImpl(Membership membership, std::unique_ptr<CallState> state, std::unique_ptr<Peer> own);
  SessionImpl(const SessionImpl&) = delete;
  SessionImpl& operator=(const SessionImpl&) = delete;
  ~SessionImpl();

  // Ends the session; nothing in a child of fork. Doing it twice is fine. Any thread.
  void detach() noexcept;

  const Membership& membership() const { return membership_; }
  SegmentNames& names() { return names_; }
  ViewTable& views() { return state_->views; }

  int news_descriptor() const { return peers_->news().descriptor(); }
  std::optional<News> next_news();

  // Whether this process may use the session. Errors: refused (detached, or a child of fork).
  Result<void> check() const noexcept;

  // The peer, attached if need be. Errors: refused, and those of PeerTable::attached_to.
  Result<Peer*> attached_to(CellId cell);
  // Async-signal-safe.
  Peer* find(CellId cell) const noexcept { return peers_->find(cell); }
  // Calls a cell that the task is attached to. Errors: refused, and those of GateClient::call.
  // Async-signal-safe.
  Result<GateValues> call(Peer& peer, const GateCall& call) noexcept;

  // Sleeps for that long, or until the session is detached.
  void pause(std::uint64_t ns) const noexcept;

  // Sleeps while every word has its expected value, the live set is that of `epoch` (the value of
  // epoch_word() before the words were looked at) and the session is not detached; a while at
  // most.
  void sleep_on(std::span<const FutexWord> words, std::uint32_t epoch,
                std::uint64_t deadline_ns) const noexcept;
  std::uint32_t epoch_word() const noexcept;

  std::uint64_t epoch() const noexcept;
  CellSet live_set() const noexcept;

  void close_in_child() noexcept { peers_->close_in_child(); }

 private:
  Result<void> check_in(const SessionUse& use) const noexcept;

  const Membership membership_;
  std::unique_ptr<CallState> state_;  // these two are never freed if threads are stuck inside
  std::unique_ptr<PeerTable> peers_;
  SegmentNames names_;
  std::atomic<bool> detached_{false};
  std::atomic<bool> stuck_{false};
};

}  // namespace hive::lib
