#include "lib/segment_impl.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/safe_copy.h"
#include "lib/careful_store.h"
#include "lib/causes.h"
#include "lib/lock_impl.h"
#include "lib/patience.h"
#include "proto/causes.h"

namespace hive::lib {

using machine::page_bytes;
using machine::PageRange;
using proto::GateOp;

namespace {

constexpr const char* cause_outside = "the range lies outside the segment";

std::byte* address_of(const SessionImpl& session, const Peer& peer, const SegmentPlace& place) {
  const std::uint64_t begin = session.membership().layout.user_begin(peer.cell());
  return reinterpret_cast<std::byte*>(begin + place.pages.first * page_bytes);
}

}  // namespace

SegmentImpl::~SegmentImpl() { close(); }

SegmentImpl::SegmentImpl(std::shared_ptr<SessionImpl> session, Peer* peer, std::string name,
                         const SegmentPlace& place)
    : session_(std::move(session)),
      peer_(peer),
      name_(std::move(name)),
      place_(place),
      data_(address_of(*session_, *peer, place)),
      name_ticket_(
          session_->names().add(reinterpret_cast<std::uintptr_t>(data_), bytes(), name_)) {}

void SegmentImpl::close() noexcept {
  if (closed_.exchange(true) || !session_->check()) return;
  std::vector<OpenWindow> windows;
  std::vector<OpenLock> locks;
  {
    const std::scoped_lock lock(mutex_);
    windows.swap(windows_);
    locks.swap(locks_);
  }
  if (const PeerUse use(peer_); use) {
    for (const OpenLock& lock : locks) (void)use->windows().end(use->fence(), lock.page);
  }
  for (const OpenWindow& window : windows) (void)end_window(window, GateOp::window_abort);
  (void)session_->call(*peer_, {.op = GateOp::segment_close, .args = {place_.id}});
  session_->names().remove(name_ticket_);
}

Result<GateValues> SegmentImpl::call(const GateCall& call) const {
  if (auto usable = session_->check(); !usable) return fail(usable.error());
  if (closed_.load()) return fail(Code::bad_argument, proto::cause::segment_not_open, home());
  return session_->call(*peer_, call);
}

Result<PageRange> SegmentImpl::pages_of(std::uint64_t offset, std::uint64_t length) const {
  if (offset > bytes() || length > bytes() - offset) {
    return fail(Code::bad_argument, cause_outside, home());
  }
  const auto first = static_cast<std::uint32_t>(offset / page_bytes);
  const auto end = static_cast<std::uint32_t>((offset + length + page_bytes - 1) / page_bytes);
  return PageRange{first, length == 0 ? 0 : end - first};
}

Result<void> SegmentImpl::give(PageRange pages) const {
  const Patience patience;
  while (true) {
    auto given = call({.op = GateOp::segment_give, .args = {place_.id, pages.first, pages.count}});
    if (given) return {};
    if (!patience.allows(given.error().code)) return fail(given.error());
    session_->pause(patience_pause_ns);
  }
}

Result<void> SegmentImpl::touch(std::uint64_t offset, std::uint64_t length) const {
  const auto pages = pages_of(offset, length);
  if (!pages) return fail(pages.error());
  for (std::uint32_t at = pages->first; at < pages->end(); at += give_pages_max) {
    const std::uint32_t count = std::min(give_pages_max, pages->end() - at);
    if (auto given = give({at, count}); !given) return given;
  }
  return {};
}

Result<void> SegmentImpl::read(std::uint64_t offset, std::span<std::byte> out) const {
  if (auto pages = pages_of(offset, out.size()); !pages) return fail(pages.error());
  if (auto usable = session_->check(); !usable) return usable;
  if (closed_.load()) return fail(Code::bad_argument, proto::cause::segment_not_open, home());
  // Also of no bytes at all: it is how a writer asks whether it may store.
  if (peer_->retired()) return fail(Code::cell_down, cause_home_failed, home());
  while (!out.empty()) {
    // To the next boundary, so that what is asked for together is given together.
    const std::uint64_t chunk =
        std::min<std::uint64_t>(out.size(), read_chunk_bytes - offset % read_chunk_bytes);
    if (auto done = copy_out(offset, out.first(chunk)); !done) return done;
    offset += chunk;
    out = out.subspan(chunk);
  }
  return {};
}

Result<void> SegmentImpl::copy_out(std::uint64_t offset, std::span<std::byte> out) const {
  const auto pages = pages_of(offset, out.size());
  if (!pages) return fail(pages.error());
  // Where processes guard themselves, nothing but the home knows that a range is torn.
  bool ask_first = peer_->mode() == machine::FirewallMode::cooperative;
  for (int tries = 0; tries < read_tries_max; ++tries) {
    if (ask_first || tries > 0) {
      if (auto given = give(*pages); !given) return given;
    }
    if (tries > 0) store_to(out);
    const PeerUse use(peer_);
    if (!use) return fail(Code::cell_down, cause_home_failed, home());
    const bool copied = safe_copy(out.data(), data_ + offset, out.size());
    // The memory of a failed cell may still be there for a while, but nobody answers for it.
    if (auto up = use->gate().check_server(); !up) return up;
    if (copied) return {};
  }
  return fail(Code::lost, "the home takes the pages away as fast as it gives them", home());
}

Result<std::uint32_t> SegmentImpl::losses() const {
  if (auto usable = session_->check(); !usable) return fail(usable.error());
  const PeerUse use(peer_);
  std::uint32_t count = 0;
  if (!use || !safe_load32(place_.losses, count)) {
    return fail(Code::cell_down, cause_home_failed, home());
  }
  if (auto up = use->gate().check_server(); !up) return fail(up.error());
  return count;
}

// A store that spans slots of data goes in several calls; each is whole or not there.
Result<void> SegmentImpl::put(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (auto pages = pages_of(offset, bytes.size()); !pages) return fail(pages.error());
  const Patience patience;
  while (!bytes.empty()) {
    // Copied here: the bytes may lie in a segment, and a fault there must not find us in a call.
    std::array<std::byte, proto::gate_store_bytes_max> copy;
    const std::size_t count = std::min(bytes.size(), copy.size());
    std::ranges::copy(bytes.first(count), copy.begin());
    const std::span<const std::byte> part(copy.data(), count);
    auto stored = call({.op = GateOp::segment_store,
                        .args = {place_.id, offset, part.size()},
                        .data = part});
    if (!stored) {
      if (stored.error().code != Code::host || !patience.allows(Code::host)) {
        return fail(stored.error());
      }
      session_->pause(patience_pause_ns);
      continue;
    }
    offset += part.size();
    bytes = bytes.subspan(part.size());
  }
  return {};
}

Result<void> SegmentImpl::reset(std::uint64_t offset, std::uint64_t length) {
  const auto pages = pages_of(offset, length);
  if (!pages) return fail(pages.error());
  if (pages->count == 0) return {};
  auto done = call({.op = GateOp::segment_reset, .args = {place_.id, pages->first, pages->count}});
  if (!done) return fail(done.error());
  return {};
}

Result<void> SegmentImpl::destroy() {
  auto done = call({.op = GateOp::segment_destroy, .args = {place_.id}});
  if (!done) return fail(done.error());
  return {};
}

}  // namespace hive::lib
