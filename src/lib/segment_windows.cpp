// Windows, as their segment keeps them.
#include <algorithm>

#include "lib/causes.h"
#include "lib/lock_impl.h"
#include "lib/segment_impl.h"
#include "proto/causes.h"

namespace hive::lib {

using machine::PageRange;
using proto::GateOp;

Result<std::uint32_t> SegmentImpl::open_window(PageRange pages, WindowMode mode) {
  const PageRange range = on_node(pages);
  if (const PeerUse use(peer_); use) use->windows().announce(range);
  auto id = ask_for_window(pages, range, mode);
  if (!id) {
    if (const PeerUse use(peer_); use) (void)use->windows().end(use->fence(), range);
    return id;
  }
  const std::scoped_lock lock(mutex_);
  windows_.push_back({*id, range});
  return id;
}

Result<std::uint32_t> SegmentImpl::ask_for_window(PageRange pages, PageRange range,
                                                  WindowMode mode) {
  const std::uint64_t shared = mode == WindowMode::shared ? 1 : 0;
  auto opened =
      call({.op = GateOp::window_open, .args = {place_.id, pages.first, pages.count, shared}});
  if (!opened) return fail(opened.error());
  const std::uint64_t id = (*opened)[0];
  if (id > UINT32_MAX) return fail(Code::corrupt, cause_bad_reply, home());
  const PeerUse use(peer_);
  if (!use) return fail(Code::cell_down, cause_home_failed, home());
  if (auto begun = use->windows().begin(use->fence(), range); !begun) {
    // Nothing was stored, so nothing is torn.
    (void)session_->call(*peer_, {.op = GateOp::window_commit, .args = {id}});
    return fail(begun.error());
  }
  return static_cast<std::uint32_t>(id);
}

bool SegmentImpl::forget_window(std::uint32_t id, OpenWindow& out) {
  const std::scoped_lock lock(mutex_);
  const auto found = std::ranges::find(windows_, id, &OpenWindow::id);
  if (found == windows_.end()) return false;
  out = *found;
  windows_.erase(found);
  return true;
}

Result<GateValues> SegmentImpl::end_window(const OpenWindow& window, GateOp op) noexcept {
  if (const PeerUse use(peer_); use) {
    // If this fails the mapping stays writable, and the home closes the pages all the same.
    (void)use->windows().end(use->fence(), window.pages);
  }
  return session_->call(*peer_, {.op = op, .args = {window.id}});
}

Result<std::shared_ptr<LockImpl>> SegmentImpl::lock(proto::LockKind kind, std::string_view name) {
  {
    const std::scoped_lock lock(mutex_);
    const auto known = std::ranges::find_if(
        locks_, [&](const OpenLock& l) { return l.kind == kind && l.name == name; });
    if (known != locks_.end()) return known->lock;
  }
  auto opened = LockImpl::open(*this, kind, name);
  if (!opened) return opened;
  const PageRange page{(*opened)->page(), 1};
  const PeerUse use(peer_);
  if (!use) return fail(Code::cell_down, cause_home_failed, home());
  // Like a window that stays open until the segment is closed.
  use->windows().announce(page);
  if (auto begun = use->windows().begin(use->fence(), page); !begun) {
    (void)use->windows().end(use->fence(), page);
    return fail(begun.error());
  }
  const std::scoped_lock lock(mutex_);
  if (closed_.load()) {
    (void)use->windows().end(use->fence(), page);
    return fail(Code::bad_argument, proto::cause::segment_not_open, home());
  }
  locks_.push_back({kind, std::string(name), page, *opened});
  return opened;
}

Result<void> SegmentImpl::commit_window(std::uint32_t window) {
  if (auto usable = session_->check(); !usable) return usable;
  OpenWindow open{};
  if (!forget_window(window, open)) {
    return fail(Code::lost, "the segment was closed before the window was committed", home());
  }
  auto done = end_window(open, GateOp::window_commit);
  if (!done) return fail(done.error());
  return {};
}

void SegmentImpl::abort_window(std::uint32_t window) noexcept {
  OpenWindow open{};
  // A child of fork has a copy of the window, whose mutex the parent may hold.
  if (!session_->check() || !forget_window(window, open)) return;
  (void)end_window(open, GateOp::window_abort);
}

}  // namespace hive::lib
