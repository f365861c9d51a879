#include <hive/mapping.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <hive/session.h>

#include "lib/causes.h"
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
  if (auto usable = session->check(); !usable) return fail(usable.error());
  if (bytes == 0) return fail(Code::bad_argument, "a mapping has at least one byte", -1, EINVAL);
  const auto peer = session->attached_to(session->membership().cell);
  if (!peer) return fail(peer.error());
  if ((*peer)->mode() == machine::FirewallMode::cooperative) {
    return fail(Code::refused, "there are no mappings without the firewall", (*peer)->cell(),
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
  auto view = std::make_unique<MappedView>();
  view->begin = *begin;
  view->end = *begin + whole;
  view->peer = *peer;
  view->writable = true;
  const auto id = session->call(**peer, {.op = GateOp::view_map, .args = {*begin, whole}});
  if (!id) {
    table.free(*begin);
    return fail(id.error());
  }
  view->id = (*id)[0];
  auto entered = table.enter(std::move(view));
  if (entered) {
    if (auto shown = show_nothing(layout, **peer, **entered); !shown) {
      table.leave(*entered);
      entered = fail(shown.error());
    }
  }
  if (!entered) {
    (void)session->call(**peer, {.op = GateOp::view_unmap, .args = {(*id)[0]}});
    table.free(*begin);
    return fail(entered.error());
  }
  return std::unique_ptr<MappingImpl>(new MappingImpl(std::move(session), *entered, bytes));
}

MappingImpl::~MappingImpl() {
  // A child of fork has neither the memory nor the session.
  if (session_->membership().process != known_process()) return;
  const std::uint64_t begin_of_view = view_->begin;
  Peer* const peer = view_->peer;
  const GateCall unmap{.op = GateOp::view_unmap, .args = {view_->id}};
  session_->views().leave(view_);
  // What can't be told to the cell any more ends with the session there.
  (void)session_->call(*peer, unmap);
  session_->views().free(begin_of_view);
}

Result<void> MappingImpl::populate(std::uint64_t offset, std::uint64_t length) {
  if (offset > bytes_ || length > bytes_ - offset) {
    return fail(Code::bad_argument, "the range lies outside the mapping", -1, EINVAL);
  }
  if (auto usable = session_->check(); !usable) return usable;
  const std::uint64_t end = begin() + offset + length;
  for (std::uint64_t at = begin() + offset; at < end;
       at = at / view_block_bytes * view_block_bytes + view_block_bytes) {
    const Fault touch{.address = at, .is_store = view_->writable};
    if (auto done = session_->views().serve(*session_, touch); !done) return done;
  }
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

void Mapping::unmap() { impl_.reset(); }

Result<Mapping> Session::map_anonymous(std::uint64_t bytes) {
  auto impl = lib::MappingImpl::anonymous(impl_, bytes);
  if (!impl) return fail(impl.error());
  return Mapping(std::move(*impl));
}

}  // namespace hive
