#include <hive/mapping.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

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

constexpr std::uint64_t pieces_max = 1024;  // of a mapping, each as long as a node's memory

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

Result<std::unique_ptr<MappingImpl>> MappingImpl::of_file(std::shared_ptr<SessionImpl> session,
                                                          const FileRange& range) {
  auto view = std::make_unique<MappedView>();
  view->writable = range.writable;
  view->is_private = range.is_private;
  const std::uint64_t stores = range.writable && !range.is_private ? 1 : 0;
  GateCall ask{.op = GateOp::file_map,
               .args = {range.file.handle, 0, 0, range.first_page, stores}};
  if (!range.writable || !range.is_private) {
    view->peer = range.file.peer;
    return make(std::move(session), std::move(view), range.bytes, ask);
  }
  const auto own = session->attached_to(session->membership().cell);
  if (!own) return fail(own.error());
  view->peer = *own;
  view->source = std::make_unique<ViewSource>();
  view->source->peer = range.file.peer;
  view->source->first_page = range.first_page;
  return make(std::move(session), std::move(view), range.bytes, ask);
}

// `ask`: how the home of a file is asked for its view, but for where it is.
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
  ViewSource* const source = view->source.get();
  Result<void> mapped;
  if (source != nullptr) {
    // First the file's view, which the one of the copies may lie over.
    mapped = source->take_room(whole);
    if (mapped) mapped = map_at(*session, *view, *source, ask);
    ask = {.op = GateOp::view_map, .args = {0, 0, 1}};
  }
  if (mapped) mapped = map_at(*session, *view, *view, ask);
  const ViewAt at = *view;
  const ViewAt source_at = source != nullptr ? *source : ViewAt{};
  Result<MappedView*> entered = nullptr;
  if (mapped) {
    entered = table.enter(std::move(view));
    if (entered) mapped = table.show_nothing(peer, *begin, *begin + whole, (*entered)->writable);
    if (entered && mapped) {
      return std::unique_ptr<MappingImpl>(new MappingImpl(std::move(session), *entered, bytes));
    }
    if (entered) table.leave(*entered);
  }
  end_at(*session, at);
  end_at(*session, source_at);
  table.free(*begin);
  return fail(mapped ? entered.error() : mapped.error());
}

// Says what the view is known as there.
Result<void> MappingImpl::map_at(SessionImpl& session, const MappedView& range, ViewAt& at,
                                 GateCall ask) {
  const bool is_file = ask.op == GateOp::file_map;
  const std::size_t place = is_file ? 1 : 0;
  ask.args[place] = range.begin;
  ask.args[place + 1] = range.end - range.begin;
  const auto mapped = session.call(*at.peer, ask);
  if (!mapped) return fail(mapped.error());
  at.id = (*mapped)[0];
  if (is_file) at.handle = (*mapped)[1];
  return {};
}

// What can't be told to the cell any more ends with the session there.
void MappingImpl::end_at(SessionImpl& session, const ViewAt& at) {
  if (at.id == 0) return;
  (void)session.call(*at.peer, {.op = GateOp::view_unmap, .args = {at.id}});
  if (at.handle == 0) return;
  (void)session.call(*at.peer, {.op = GateOp::file_close, .args = {at.handle}});
}

MappingImpl::~MappingImpl() {
  // A child of fork has neither the memory nor the session.
  if (session_->membership().process != known_process()) return;
  const std::uint64_t begin_of_view = view_->begin;
  const ViewAt at = *view_;
  const ViewAt source = view_->source != nullptr ? *view_->source : ViewAt{};
  session_->views().leave(view_);
  end_at(*session_, at);
  end_at(*session_, source);
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
  std::vector<std::byte> room(view_->source != nullptr ? view_block_bytes : 0);
  // A touch brings in its block, but for pages that find no frame, or are lost: these are touched
  // each by itself, and say why.
  std::uint32_t there = 0;
  for (std::uint64_t at = (begin() + offset) / page_bytes * page_bytes; at < end;
       at += page_bytes) {
    if (at % view_block_bytes == 0) there = 0;
    if ((there >> (at % view_block_bytes / page_bytes) & 1) != 0) continue;
    const Fault touch{.address = std::max(at, begin() + offset), .is_store = is_store};
    if (auto done = session_->views().serve(*session_, touch, room, &there); !done) return done;
    // Of a file only what is cached already comes with it.
    if (view_->handle != 0 || view_->source != nullptr) there = ~std::uint32_t{0};
  }
  return {};
}

// The whole file: what is dirty of it is not more than what is to be written sooner or later.
Result<void> MappingImpl::sync(std::uint64_t offset, std::uint64_t length) {
  if (auto usable = check(offset, length); !usable) return usable;
  if (view_->handle == 0 || view_->is_private) return {};
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
