// Pages that tasks have mapped: invariant 8 of page_cache.h.

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "cell/files/page_cache.h"

namespace hive::cell {

namespace {

// How often a page may leave again between being brought in and being looked at.
constexpr int hold_rounds_max = 1000;

}  // namespace

Result<std::vector<HeldFrame>> PageCache::hold(const FileRef& file, std::uint32_t page,
                                               std::uint32_t first, std::uint32_t count,
                                               bool at_once) {
  HIVE_CHECK(page >= first && page - first < count);
  Lock lock(mutex_);
  if (at_once) {
    const auto frame = table_.find(file->number, page);
    const bool is_there = frame && pages_[*frame].state == PageState::ready;
    if (!is_there || file->alone || file->waits_alone > 0) return takes_too_long();
  }
  if (auto begun = begin_read(lock, *file); !begun) return fail(begun.error());
  Result<std::vector<HeldFrame>> held = takes_too_long();
  for (int round = 0; round < hold_rounds_max; ++round) {
    const std::uint32_t end = std::min(first + count, files::pages_of(file->size));
    if (page >= end) {
      held = failure(Code::bad_argument, ENXIO, "the file ends before the page");
      break;
    }
    const auto frame = table_.find(file->number, page);
    if (!frame) {
      const auto filled = read_missing(lock, *file, page, end - page, true);
      if (filled) {
        counts_.misses += filled->pages;
        continue;
      }
      held = fail(filled.error());
      break;
    }
    if (pages_[*frame].state != PageState::ready) {
      if (!wait_for_fill(lock, *file, page)) break;
      continue;
    }
    if (is_borrowed(*frame)) {
      // It comes back into a frame of this node.
      if (reclaim_some(lock, {*frame, 1}) != Left::failed) continue;
      held = failure(Code::host, EIO, "a page that is to be mapped can not be written back");
      break;
    }
    std::vector<HeldFrame> ready;
    for (std::uint32_t at = first; at < end; ++at) {
      const auto other = table_.find(file->number, at);
      if (!other || pages_[*other].state != PageState::ready || is_borrowed(*other)) continue;
      ready.push_back({*other, at, file->number, table_.entry(*other).sequence});
    }
    pages_[*frame].referenced = true;
    ++counts_.hits;
    held = std::move(ready);
    break;
  }
  end_read_locked(*file);
  return held;
}

bool PageCache::holds_locked(const HeldFrame& held) const {
  const Page& page = pages_[held.frame];
  return page.state == PageState::ready && page.file->number == held.file &&
         page.page == held.page && table_.entry(held.frame).sequence == held.sequence;
}

Result<void> PageCache::expect_stores(File& file, const HeldFrame& held) {
  Lock lock(mutex_);
  if (file.is_gone) return is_gone();
  if (!holds_locked(held) || pages_[held.frame].doubted) {
    return failure(Code::busy, EAGAIN, "the page has left its frame");
  }
  pages_[held.frame].stored_to = true;
  wrote_locked(file, {&held.frame, 1}, file.size);
  return {};
}

void PageCache::doubt(std::span<const HeldFrame> frames) {
  const Lock lock(mutex_);
  for (const HeldFrame& held : frames) {
    if (!holds_locked(held)) continue;
    pages_[held.frame].doubted = true;
    make_clean_locked(held.frame);
  }
}

Result<void> PageCache::drop_doubted(FileNumber number) { return drop(number, Dropped::doubted); }

}  // namespace hive::cell
