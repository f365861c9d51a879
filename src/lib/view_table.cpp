#include "lib/view_table.h"

#include <algorithm>
#include <csignal>

#include "base/futex.h"
#include "lib/causes.h"
#include "lib/file_calls.h"
#include "lib/patience.h"
#include "lib/peer.h"
#include "lib/session_impl.h"
#include "proto/causes.h"

namespace hive::lib {

using machine::page_bytes;
using proto::GateOp;
using proto::view_block_pages;
using proto::ViewFrames;

// Guards a block of addresses; several may share a lock. Signals wait meanwhile, but for faults:
// a handler that touches the same block would wait for the thread that it has interrupted.
class ViewTable::BlockLock {
 public:
  BlockLock(ViewTable& table, std::uint64_t address) noexcept
      : BlockLock(table.blocks_[address / view_block_bytes % block_locks]) {}
  explicit BlockLock(std::atomic<std::uint32_t>& word) noexcept : word_(word) {
    sigset_t blocked;
    ::sigfillset(&blocked);
    ::sigdelset(&blocked, SIGBUS);
    ::sigdelset(&blocked, SIGSEGV);
    ::pthread_sigmask(SIG_BLOCK, &blocked, &before_);
    while (word_.exchange(1, std::memory_order_acquire) != 0) {
      futex_wait(&word_, 1, now_ns() + ns_per_ms);
    }
  }
  ~BlockLock() {
    word_.store(0, std::memory_order_release);
    futex_wake(&word_, 1);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  BlockLock(const BlockLock&) = delete;
  BlockLock& operator=(const BlockLock&) = delete;

 private:
  std::atomic<std::uint32_t>& word_;
  sigset_t before_{};
};

Result<std::uint64_t> ViewTable::take(std::uint64_t bytes) {
  const auto round = [](std::uint64_t value) {
    return (value + view_block_bytes - 1) / view_block_bytes * view_block_bytes;
  };
  const std::scoped_lock lock(mutex_);
  const std::uint64_t room = layout_.has_views() ? layout_.views_end() - layout_.views_begin() : 0;
  if (bytes > room) return fail(Code::exhausted, "the range of addresses for mappings is full");
  std::uint64_t begin = round(layout_.views_begin());
  for (const auto& [other, end] : taken_) {
    if (other >= begin && other - begin >= round(bytes) + view_block_bytes) break;
    begin = round(end) + view_block_bytes;  // a gap, for stores that run on
  }
  if (!layout_.in_views(begin, round(bytes))) {
    return fail(Code::exhausted, "the range of addresses for mappings is full");
  }
  taken_.emplace(begin, begin + bytes);
  return begin;
}

void ViewTable::free(std::uint64_t begin) {
  const std::scoped_lock lock(mutex_);
  taken_.erase(begin);
}

Result<MappedView*> ViewTable::enter(std::unique_ptr<MappedView> view) {
  const std::scoped_lock lock(mutex_);
  if (view->source != nullptr && rooms_ == nullptr) {
    rooms_ = std::make_unique_for_overwrite<PageRoom[]>(block_locks);
  }
  for (std::size_t i = 0; i < views_.size(); ++i) {
    if (views_[i].load(std::memory_order_relaxed) != nullptr) continue;
    views_[i].store(view.get(), std::memory_order_release);
    if (used_.load() <= i) used_.store(i + 1);
    return view.release();
  }
  return fail(Code::exhausted, proto::cause::view_limit);
}

void ViewTable::leave(MappedView* view) {
  const std::scoped_lock lock(mutex_);
  for (auto& place : views_) {
    if (place.load(std::memory_order_relaxed) == view) place.store(nullptr);
  }
  wait_for_blocks();
  if (!view->hidden) machine::Fence::hide(view->begin, view->end - view->begin);
  delete view;
}

void ViewTable::hide_all_of(const Peer* peer) {
  const std::scoped_lock lock(mutex_);
  for (auto& place : views_) {
    MappedView* const view = place.load(std::memory_order_relaxed);
    if (view == nullptr || view->hidden) continue;
    ViewSource* const source = view->source.get();
    // What covers the views of others is of our own cell.
    if (peer == own_ || view->peer == peer) {
      if (view->gone.exchange(true) && peer != own_) continue;
      wait_for_blocks();
      cover(*view, peer != own_);
    } else if (source != nullptr && source->peer == peer && !source->gone.exchange(true)) {
      wait_for_blocks();
      cover_source(*view);
    }
  }
}

Result<void> ViewTable::show_nothing(Peer& peer, std::uint64_t begin, std::uint64_t end,
                                     bool writable) const {
  const PeerUse use(&peer);
  if (!use) return fail(Code::cell_down, cause_cell_failed, peer.cell());
  Result<void> done;
  for (std::uint64_t at = begin; at < end && done; at += layout_.user_bytes) {
    const std::uint64_t bytes = std::min(layout_.user_bytes, end - at);
    const auto pages = static_cast<std::uint32_t>(bytes / page_bytes);
    done = use->fence().show(at, {0, pages}, writable);
  }
  return done;
}

void ViewTable::cover(MappedView& view, bool own_is_there) const {
  if (own_is_there && own_ != nullptr &&
      show_nothing(*own_, view.begin, view.end, view.writable)) {
    return;
  }
  machine::Fence::hide(view.begin, view.end - view.begin);
  view.hidden = true;
}

// All but the copies. Without its source a block of which no page is a copy stays so; one that has
// some may still be worked on.
void ViewTable::cover_source(const MappedView& view) {
  std::uint64_t first = 0;
  const auto cover_until = [&](std::uint64_t page) {
    const std::uint64_t begin = view.begin + first * page_bytes;
    const std::uint64_t end = view.begin + page * page_bytes;
    first = page;
    if (begin < end && !show_nothing(*own_, begin, end, view.writable)) {
      machine::Fence::hide(begin, end - begin);
    }
  };
  const std::uint64_t pages = (view.end - view.begin) / page_bytes;
  for (std::uint64_t block = 0; block < pages; block += view_block_pages) {
    const auto copied = view.source->copied_of(block);
    if (copied.load(std::memory_order_relaxed) == 0) continue;
    const BlockLock lock(*this, view.begin + block * page_bytes);
    const std::uint64_t end = std::min<std::uint64_t>(block + view_block_pages, pages);
    for (std::uint64_t page = block; page < end; ++page) {
      if ((copied.load(std::memory_order_relaxed) >> (page - block) & 1) == 0) continue;
      cover_until(page);
      first = page + 1;
    }
    cover_until(end);
  }
  cover_until(pages);
}

// Whoever looks a view up does so with its block.
void ViewTable::wait_for_blocks() noexcept {
  for (auto& word : blocks_) const BlockLock lock(word);
}

MappedView* ViewTable::find(std::uint64_t address) const noexcept {
  const std::size_t used = used_.load(std::memory_order_acquire);
  for (std::size_t i = 0; i < used; ++i) {
    MappedView* const view = views_[i].load(std::memory_order_acquire);
    if (view != nullptr && address >= view->begin && address < view->end) return view;
  }
  return nullptr;
}

Result<void> ViewTable::serve(SessionImpl& session, const Fault& fault,
                              std::span<std::byte> room, std::uint32_t* there) noexcept {
  const BlockLock lock(*this, fault.address);
  const MappedView* const view = find(fault.address);
  if (view == nullptr || (fault.is_store && !view->writable)) {
    return fail(Code::refused, view == nullptr ? proto::cause::no_view
                                               : "it is not mapped for stores");
  }
  if (view->gone.load()) return fail(Code::cell_down, cause_cell_failed, view->peer->cell());
  const Patience patience;
  while (true) {
    auto done = view->source == nullptr ? bring_in(session, *view, fault, there)
                                        : bring_in_private(session, *view, fault, room);
    if (done || !patience.allows(done.error().code)) return done;
    static const std::atomic<std::uint32_t> never{0};
    futex_wait(&never, 0, now_ns() + patience_pause_ns);
  }
}

namespace {

// Calls show(page in the block, frames) for each run of pages to be shown whose frames lie side
// by side. What the cell says is input.
template <class Show>
Result<void> each_run(const machine::Layout& layout, CellId cell, std::uint64_t mask,
                      const ViewFrames& frames, Show show) {
  for (std::uint32_t i = 0; i < view_block_pages;) {
    const std::uint32_t first = i++;
    if ((mask >> first & 1) == 0) continue;
    if (frames[first] % page_bytes != 0 || !layout.in_user(cell, frames[first])) {
      return fail(Code::corrupt, cause_bad_reply, cell);
    }
    while (i < view_block_pages && (mask >> i & 1) != 0 &&
           frames[i] == frames[first] + (i - first) * page_bytes) {
      ++i;
    }
    const auto frame =
        static_cast<std::uint32_t>((frames[first] - layout.user_begin(cell)) / page_bytes);
    if (auto done = show(first, machine::PageRange{frame, i - first}); !done) return done;
  }
  return {};
}

}  // namespace

Result<void> ViewTable::bring_in(SessionImpl& session, const MappedView& view,
                                 const Fault& fault, std::uint32_t* there) const noexcept {
  const std::uint64_t page = (fault.address - view.begin) / page_bytes;
  const bool is_file = view.handle != 0;
  if (is_file && !fault.is_store) {
    // Where the mapping itself is what keeps a page closed until the home has closed it.
    const PeerUse use(view.peer);
    const std::uint64_t first =
        view.begin + page / view_block_pages * view_block_pages * page_bytes;
    const std::uint64_t end = std::min(first + view_block_bytes, view.end);
    if (use) (void)use->fence().let_stores(first, end - first, false);
  }
  GateCall call{.op = is_file ? GateOp::file_fault : GateOp::view_fault,
                .args = {view.id, page, fault.is_store ? 1U : 0U, view.handle}};
  if (is_file) call.deadline_ns = deadline_in(file_call_timeout_ns);
  return ask_and_show(session, view, fault,
                      {.at = view, .call = call, .writable = view.writable, .there = there});
}

Result<void> ViewTable::ask_and_show(SessionImpl& session, const MappedView& view,
                                     const Fault& fault, Asked asked) const noexcept {
  const std::uint64_t page = (fault.address - view.begin) / page_bytes;
  const std::uint64_t block = page / view_block_pages * view_block_pages;
  ViewFrames frames{};
  asked.call.answer = std::as_writable_bytes(std::span(frames));
  const auto named = session.call(*asked.at.peer, asked.call);
  if (!named) return fail(named.error());
  for (std::uint32_t i = 0; asked.there != nullptr && i < view_block_pages; ++i) {
    if (frames[i] != 0) *asked.there |= 1U << i;
  }
  const std::uint64_t pages = (view.end - view.begin) / page_bytes - block;
  const std::uint64_t inside =
      pages >= view_block_pages ? (1U << view_block_pages) - 1 : (1U << pages) - 1;
  const std::uint64_t show = (*named)[0] & inside & ~std::uint64_t{asked.others};
  if (asked.copies) {
    asked.copies->fetch_or(static_cast<std::uint16_t>(show), std::memory_order_relaxed);
    if ((asked.copies->load(std::memory_order_relaxed) >> (page - block) & 1) == 0) {
      return fail(Code::corrupt, cause_bad_reply, asked.at.peer->cell());
    }
  }
  const PeerUse use(asked.at.peer);
  if (!use) return fail(Code::cell_down, cause_cell_failed, asked.at.peer->cell());
  const std::uint64_t begin = view.begin + block * page_bytes;
  const auto let_store = [&]() -> Result<void> {
    if (!fault.is_store) return {};
    return use->fence().let_stores(view.begin + page * page_bytes, page_bytes, true);
  };
  if (show == 0) return let_store();
  auto done = each_run(layout_, asked.at.peer->cell(), show, frames,
                       [&](std::uint32_t first, machine::PageRange run) {
                         return use->fence().show(begin + first * page_bytes, run,
                                                  asked.writable);
                       });
  if (!done) return done;
  const auto given =
      session.call(*asked.at.peer, {.op = GateOp::view_give, .args = {asked.at.id, page}});
  if (!given) return fail(given.error());
  return let_store();
}

}  // namespace hive::lib
