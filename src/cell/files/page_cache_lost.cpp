// Frames that are borrowed and lost with their lender, and how one sees that those there are do
// not suffice.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "cell/files/page_cache.h"

namespace hive::cell {

namespace {

// Never 0.
std::uint64_t key_of(FileNumber file, std::uint32_t page) {
  std::uint64_t x = (file * 0x9e3779b97f4a7c15 + page) * 0xd6e8feb86659fd93;
  x ^= x >> 29;
  return x | 1;
}

}  // namespace

FramePlace PageCache::place_of(std::uint32_t frame) const {
  return is_borrowed(frame) ? parts_.frames->place_of(frame) : FramePlace{parts_.self, frame};
}

// --- refaults -----------------------------------------------------------------------------------

void PageCache::note_eviction_locked(std::uint32_t frame) {
  if (ghosts_.empty()) return;
  const std::uint64_t key = key_of(pages_[frame].file->number, pages_[frame].page);
  ghosts_[(key >> 1) & (ghosts_.size() - 1)] = key;
}

void PageCache::note_miss_locked(const File& file, std::uint32_t page) {
  if (ghosts_.empty()) return;
  const std::uint64_t key = key_of(file.number, page);
  std::uint64_t& ghost = ghosts_[(key >> 1) & (ghosts_.size() - 1)];
  if (ghost != key) return;
  ghost = 0;
  ++counts_.refaults;
  parts_.frames->note_refault();
}

// --- loss ---------------------------------------------------------------------------------------

// Who has a frame in hand, or fills it, hears of it when it is to hold the page.
void PageCache::lose(std::span<const std::uint32_t> frames) {
  Lock lock(mutex_);
  Frames spare;
  for (const std::uint32_t frame : frames) {
    Page& page = pages_[frame];
    if (page.state == PageState::spare) {
      take_spare_locked(frame);
      spare.push_back(frame);
    }
    const bool is_linked = page.state == PageState::ready || page.state == PageState::filling;
    if (!is_linked || page.lost) continue;
    page.lost = true;
    lost_.push_back(frame);
    ++counts_.lost;
  }
  give_back(lock, std::move(spare));
  if (lost_.empty()) return;
  (void)let_lost_go(lock);
  if (!lost_.empty()) work_.notify_one();
}

bool PageCache::any_lost_locked(std::span<const std::uint32_t> frames) const {
  return std::ranges::any_of(frames, [this](std::uint32_t f) { return pages_[f].lost; });
}

bool PageCache::fail_fill(Lock& lock, std::span<const std::uint32_t> frames) {
  lock.lock();
  const bool are_lost = any_lost_locked(frames);
  abandon_fill_locked(frames);
  if (are_lost) {
    give_back(lock, Frames(frames.begin(), frames.end()));
  } else {
    spare_locked(frames);
  }
  return are_lost;
}

bool PageCache::let_lost_go(Lock& lock) {
  const auto may_go = [this](std::uint32_t frame) {
    const Page& page = pages_[frame];
    return page.state == PageState::ready && page.lost && page.pins == 0 && !page.writing;
  };
  // Some have left otherwise: with their file, or before they were ready.
  std::erase_if(lost_, [this](std::uint32_t frame) { return !pages_[frame].lost; });
  Frames going;
  std::vector<FileNumber> files;
  for (const std::uint32_t frame : lost_) {
    if (!may_go(frame)) continue;
    going.push_back(frame);
    if (pages_[frame].dirty != 0) files.push_back(pages_[frame].file->number);
  }
  if (going.empty()) return false;
  std::ranges::sort(files);
  files.erase(std::ranges::unique(files).begin(), files.end());
  if (!files.empty() && parts_.content_lost) {
    lock.unlock();
    parts_.content_lost(files);
    lock.lock();
  }
  Frames gone;
  for (const std::uint32_t frame : going) {
    if (!may_go(frame)) continue;
    detach_locked(frame);
    gone.push_back(frame);
  }
  std::erase_if(lost_, [this](std::uint32_t frame) { return !pages_[frame].lost; });
  give_back(lock, std::move(gone));
  return true;
}

}  // namespace hive::cell
