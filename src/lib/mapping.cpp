#include <hive/mapping.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <hive/session.h>

#include "lib/causes.h"
#include "lib/file_calls.h"
#include "lib/fork_guard.h"
#include "lib/mapping_impl.h"
#include "lib/peer.h"

namespace hive {
namespace lib {

using machine::page_bytes;
using proto::GateOp;

namespace {

// A touch of what can't be brought in is SIGBUS, as of other mappings, and not SIGSEGV. So that
// Linux knows the addresses as such they show something from the beginning: frames of which none
// is ever brought in there. The view is in the table, so that it is hidden when the peer goes.
constexpr std::uint64_t pieces_max = 1024;

Result<void> show_nothing(const machine::Layout& layout, Peer& peer, const MappedView& view) {
  const PeerUse use(&peer);
  if (!use) return fail(Code::cell_down, cause_cell_failed, peer.cell());
  Result<void> done;
  for (std::uint64_t at = view.begin; at < view.end && done; at += layout.user_bytes) {
    const std::uint64_t bytes = std::min(layout.user_bytes, view.end - at);
    const auto pages = static_cast<std::uint32_t>(bytes / page_bytes);
    done = use->fence().show(at, {0, pages}, view.writable);
  }
  return done;
}

}  // namespace

Result<std::unique_ptr<MappingImpl>> MappingImpl::anonymous(std::shared_ptr<SessionImpl> session,
                                                            std::uint64_t bytes) {
  const auto peer = session->attached_to(session->membership().cell);
  if (!peer) return fail(peer.error());
  auto view = std::make_unique<MappedView>();
  view->peer = *peer;
  view->writable = true;
  return make(std::move(session), std::move(view), bytes, {.op = GateOp::view_map});
}

Result<std::unique_ptr<MappingImpl>> MappingImpl::shared(std::shared_ptr<SessionImpl> session,
                                                         Peer* peer, std::uint64_t handle,
                                                         std::uint64_t bytes, std::uint64_t first,
                                                         bool writable) {
  auto view = std::make_unique<MappedView>();
  view->peer = peer;
  view->writable = writable;
  return make(std::move(session), std::move(view), bytes,
              {.op = GateOp::file_map, .args = {handle, 0, 0, first, writable ? 1U : 0U}});
}

// `ask`: how the home is asked for the view, but for where it is.
Result<std::unique_ptr<MappingImpl>> MappingImpl::make(std::shared_ptr<SessionImpl> session,
                                                       std::unique_ptr<MappedView> view,
                                                       std::uint64_t bytes, GateCall ask) {
  Peer& peer = *view->peer;
  if (auto usable = session->check(); !usable) return fail(usable.error());
  if (bytes == 0) return fail(Code::bad_argument, "a mapping has at least one byte", -1, EINVAL);
  if (peer.mode() == machine::FirewallMode::cooperative) {
    return fail(Code::refused, "there are no mappings without the firewall", peer.cell(),
                EOPNOTSUPP);
  }
  const machine::Layout& layout = session->membership().layout;
  if (bytes > machine::machine_span_max || bytes / pieces_max > layout.user_bytes) {
    return fail(Code::exhausted, "the range of addresses for mappings is full", -1, ENOMEM);
  }
  const std::uint64_t whole = (bytes + page_bytes - 1) / page_bytes * page_bytes;
  ViewTable& table = session->views();
  const auto begin = table.take(whole);
  if (!begin) return fail(begin.error());
  view->begin = *begin;
  view->end = *begin + whole;
  const std::size_t place = ask.op == GateOp::file_map ? 1 : 0;
  ask.args[place] = *begin;
  ask.args[place + 1] = whole;
  const auto mapped = session->call(peer, ask);
  if (!mapped) {
    table.free(*begin);
    return fail(mapped.error());
  }
  view->id = (*mapped)[0];
  if (ask.op == GateOp::file_map) view->handle = (*mapped)[1];
  const std::uint64_t id = view->id;
  const std::uint64_t handle = view->handle;
  auto entered = table.enter(std::move(view));
  if (entered) {
    if (auto shown = show_nothing(layout, peer, **entered); !shown) {
      table.leave(*entered);
      entered = fail(shown.error());
    }
  }
  if (entered) {
    return std::unique_ptr<MappingImpl>(new MappingImpl(std::move(session), *entered, bytes));
  }
  end_at(*session, peer, id, handle);
  table.free(*begin);
  return fail(entered.error());
}

// What can't be told to the cell any more ends with the session there.
void MappingImpl::end_at(SessionImpl& session, Peer& peer, std::uint64_t id,
                         std::uint64_t handle) {
  (void)session.call(peer, {.op = GateOp::view_unmap, .args = {id}});
  if (handle != 0) (void)session.call(peer, {.op = GateOp::file_close, .args = {handle}});
}

MappingImpl::~MappingImpl() {
  // A child of fork has neither the memory nor the session.
  if (session_->membership().process != known_process()) return;
  const std::uint64_t begin_of_view = view_->begin;
  Peer& peer = *view_->peer;
  const std::uint64_t id = view_->id;
  const std::uint64_t handle = view_->handle;
  session_->views().leave(view_);
  end_at(*session_, peer, id, handle);
  session_->views().free(begin_of_view);
}

Result<void> MappingImpl::check(std::uint64_t offset, std::uint64_t length) const {
  if (offset > bytes_ || length > bytes_ - offset) {
    return fail(Code::bad_argument, "the range lies outside the mapping", -1, EINVAL);
  }
  return session_->check();
}

Result<void> MappingImpl::populate(std::uint64_t offset, std::uint64_t length) {
  if (auto usable = check(offset, length); !usable) return usable;
  const std::uint64_t end = begin() + offset + length;
  const bool is_store = view_->writable && view_->handle == 0;
  // A touch brings in its block, but for pages that find no frame, or are lost: these are touched
  // each by itself, and say why.
  std::uint32_t there = 0;
  for (std::uint64_t at = (begin() + offset) / page_bytes * page_bytes; at < end;
       at += page_bytes) {
    if (at % view_block_bytes == 0) there = 0;
    if ((there >> (at % view_block_bytes / page_bytes) & 1) != 0) continue;
    const Fault touch{.address = std::max(at, begin() + offset), .is_store = is_store};
    if (auto done = session_->views().serve(*session_, touch, &there); !done) return done;
    // Of a file only what is cached already comes with it.
    if (view_->handle != 0) there = ~std::uint32_t{0};
  }
  return {};
}

// The whole file: what is dirty of it is not more than what is to be written sooner or later.
Result<void> MappingImpl::sync(std::uint64_t offset, std::uint64_t length) {
  if (auto usable = check(offset, length); !usable) return usable;
  if (view_->handle == 0) return {};
  const auto done =
      call_opened(*session_, *view_->peer, {.op = GateOp::file_sync, .args = {view_->handle}});
  if (!done) return fail(done.error());
  return {};
}

}  // namespace lib

Mapping::Mapping(std::unique_ptr<lib::MappingImpl> impl) : impl_(std::move(impl)) {}
Mapping::Mapping(Mapping&&) noexcept = default;
Mapping& Mapping::operator=(Mapping&&) noexcept = default;
Mapping::~Mapping() = default;

std::byte* Mapping::data() const {
  return impl_ ? reinterpret_cast<std::byte*>(impl_->begin()) : nullptr;
}
std::uint64_t Mapping::size() const { return impl_ ? impl_->bytes() : 0; }

Result<void> Mapping::populate(std::uint64_t offset, std::uint64_t length) {
  if (!impl_) return fail(Code::bad_argument, "nothing is mapped", -1, EINVAL);
  return impl_->populate(offset, length);
}

Result<void> Mapping::msync(std::uint64_t offset, std::uint64_t length) {
  if (!impl_) return fail(Code::bad_argument, "nothing is mapped", -1, EINVAL);
  return impl_->sync(offset, length);
}

void Mapping::unmap() { impl_.reset(); }

Result<Mapping> Session::map_anonymous(std::uint64_t bytes) {
  auto impl = lib::MappingImpl::anonymous(impl_, bytes);
  if (!impl) return fail(impl.error());
  return Mapping(std::move(*impl));
}

}  // namespace hive
