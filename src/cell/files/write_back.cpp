// What is dirty goes to the disk: invariants 6 and 7 of page_cache.h.

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "cell/files/page_cache.h"
#include "machine/fault_point.h"

namespace hive::cell {

using machine::page_bytes;

namespace {

constexpr int flush_passes_max = 3;
// Pages that have failed lately and are looked past for one that has not.
constexpr int due_looked_at_max = 64;
constexpr int stamps_max = 3;  // of a file that is changed all the time

}  // namespace

void PageCache::make_dirty_locked(std::uint32_t frame, std::uint64_t since, std::uint64_t due_ns) {
  Page& page = pages_[frame];
  make_clean_locked(frame);
  page.dirty = since;
  page.due_ns = due_ns;
  page.file->dirty.emplace(page.page, frame);
  const bool is_first = due_.empty();
  due_.emplace(due_ns, frame);
  table_.head().dirty.store(due_.size(), std::memory_order_relaxed);
  if (is_first || due_.size() == parts_.dirty_pages_high + 1) work_.notify_one();
}

void PageCache::make_clean_locked(std::uint32_t frame) {
  Page& page = pages_[frame];
  if (page.dirty == 0) return;
  due_.erase({page.due_ns, frame});
  page.file->dirty.erase(page.page);
  page.dirty = 0;
  table_.head().dirty.store(due_.size(), std::memory_order_relaxed);
}

bool PageCache::may_write_back_locked(std::uint32_t frame) const {
  const Page& page = pages_[frame];
  return page.dirty != 0 && !page.writing && !page.doubted && !page.lost &&
         is_at_hand_locked(*page.file);
}

// A dirty page that is old enough, or any when there are too many.
std::optional<std::uint32_t> PageCache::due_locked() const {
  const std::uint64_t now = now_ns();
  const bool are_too_many = due_.size() > parts_.dirty_pages_high;
  int looked_at = 0;
  for (const auto& [due_ns, frame] : due_) {
    if ((due_ns > now && !are_too_many) || ++looked_at > due_looked_at_max) break;
    if (pages_[frame].tries_at_ns <= now && may_write_back_locked(frame)) return frame;
  }
  return std::nullopt;
}

PageCache::Batch PageCache::begin_batch_locked(std::uint32_t frame) {
  File& file = *pages_[frame].file;
  const auto& dirty = file.dirty;
  const auto here = dirty.find(pages_[frame].page);
  HIVE_CHECK(here != dirty.end() && may_write_back_locked(frame));
  const auto is_next = [&](auto before, auto after) {
    const auto may = [this](std::uint32_t f) { return !pages_[f].writing && !pages_[f].lost; };
    return before->first + 1 == after->first && may(before->second) && may(after->second);
  };
  auto begin = here;
  std::uint32_t count = 1;
  for (; count < batch_pages_max && begin != dirty.begin(); --begin, ++count) {
    if (!is_next(std::prev(begin), begin)) break;
  }
  auto end = std::next(here);
  for (; count < batch_pages_max && end != dirty.end(); ++end, ++count) {
    if (!is_next(std::prev(end), end)) break;
  }
  Batch batch;
  batch.file = ref_locked(file);
  batch.number = ++last_count_;
  batch.first_page = begin->first;
  for (auto at = begin; at != end; ++at) batch.frames.push_back(at->second);
  for (const std::uint32_t f : batch.frames) {
    Page& page = pages_[f];
    batch.bytes += files::bytes_in_page(file, page.page);
    batch.dirty.push_back(page.dirty);
    make_clean_locked(f);
    page.writing = true;
  }
  file.batches.emplace(batch.number, *std::ranges::min_element(batch.dirty));
  file.writing += static_cast<std::uint32_t>(batch.frames.size());
  return batch;
}

// Some pages of a batch: closed to stores, copied, and if none of them is doubted by then,
// written. Releases the lock meanwhile.
Result<void> PageCache::write_frames_of(Lock& lock, const Batch& batch, std::size_t first,
                                        std::size_t count) {
  const std::size_t begin = first * page_bytes;
  const std::size_t end = std::min((first + count) * page_bytes, batch.bytes);
  const auto frames = std::span(batch.frames).subspan(first, count);
  lock.unlock();
  std::vector<std::byte> bytes(end - begin);
  auto done = parts_.frames->close_frames(frames);
  if (done) done = copy_out(frames, 0, bytes);
  lock.lock();
  const bool is_doubted = std::ranges::any_of(
      frames, [this](std::uint32_t frame) { return pages_[frame].doubted; });
  if (is_doubted) return failure(Code::lost, EIO, "who could store to the page has died");
  if (!done) return done;
  lock.unlock();
  done = batch.file->backing->pwrite(std::uint64_t{batch.first_page} * page_bytes + begin, bytes);
  machine::fault_point(machine::FaultPoint::write_back);
  lock.lock();
  return done;
}

bool PageCache::write_back(Lock& lock, const Batch& batch) {
  File& file = *batch.file;
  std::vector<std::optional<Error>> failed(batch.frames.size());
  auto done = write_frames_of(lock, batch, 0, batch.frames.size());
  if (!done && batch.frames.size() > 1) {
    // On a full disk there may be room for some, and only some may be doubted.
    for (std::size_t i = 0; i < batch.frames.size(); ++i) {
      done = write_frames_of(lock, batch, i, 1);
      if (!done) failed[i] = done.error();
    }
  } else if (!done) {
    failed[0] = done.error();
  }
  stamp(lock, file);
  const std::uint64_t now = now_ns();
  const std::uint64_t written = file.written = ++last_count_;
  bool all_good = true;
  for (std::size_t i = 0; i < batch.frames.size(); ++i) {
    Page& page = pages_[batch.frames[i]];
    page.writing = false;
    page.tries_at_ns = 0;
    if (page.doubted) continue;  // it will be dropped
    if (!failed[i]) {
      page.written = written;
      ++counts_.written_back;
      continue;
    }
    all_good = false;
    ++counts_.failures;
    page.tries_at_ns = now + parts_.retry_ns;
    make_dirty_locked(batch.frames[i], batch.dirty[i], page.tries_at_ns);
    file.last_failure = *failed[i];
    // What is lost is told otherwise: the file has another generation.
    if (!page.lost) file.failed = *failed[i];
  }
  file.batches.erase(batch.number);
  file.writing -= static_cast<std::uint32_t>(batch.frames.size());
  changed_.notify_all();
  if (!lost_.empty()) work_.notify_one();
  return all_good;
}

// Writing has set the time of the host's file to now. Of two who do so at once, the one that comes
// last sees what the other has left. Errors make a time late, and no content wrong.
void PageCache::stamp(Lock& lock, File& file) {
  std::int64_t stamped = 0;
  for (int i = 0; i < stamps_max && file.modified_ns != stamped; ++i) {
    stamped = file.modified_ns;
    lock.unlock();
    (void)file.backing->set_modified(stamped);
    lock.lock();
  }
}

// --- flush --------------------------------------------------------------------------------------

Result<void> PageCache::flush(File& file) {
  Lock lock(mutex_);
  const std::uint64_t since_max = last_count_;
  auto done = write_dirty(lock, file, since_max);
  if (parts_.sabotage.sync) return {};
  if (done) done = sync(lock, file);
  if (!done) return done;
  if (!file.failed) return {};
  // It has been written now, but somebody has to hear that it once could not be.
  const Error told = *file.failed;
  file.failed.reset();
  return fail(told);
}

bool PageCache::is_unflushed_locked(const File& file) const {
  return !file.dirty.empty() || file.writing > 0 || file.written > file.synced || file.failed;
}

bool PageCache::has_dirty_locked(const File& file, std::uint64_t since_max) const {
  return std::ranges::any_of(file.dirty, [&](const auto& dirty) {
    return pages_[dirty.second].dirty <= since_max;
  });
}

// Writes what became dirty until then. A page that others are writing meanwhile, and that has
// become dirty anew, is taken in the next pass.
Result<void> PageCache::write_dirty(Lock& lock, File& file, std::uint64_t since_max) {
  if (parts_.sabotage.sync) return {};
  bool all_good = true;
  for (int pass = 0; pass < flush_passes_max && all_good; ++pass) {
    std::uint64_t next = 0;  // page
    for (;;) {
      if (!wait(lock, [&file] { return !file.alone && file.waits_alone == 0; })) {
        return takes_too_long();
      }
      auto dirty = file.dirty.lower_bound(static_cast<std::uint32_t>(next));
      while (dirty != file.dirty.end() && (pages_[dirty->second].dirty > since_max ||
                                           pages_[dirty->second].writing ||
                                           pages_[dirty->second].lost)) {
        ++dirty;
      }
      if (dirty == file.dirty.end() || next > dirty->first) break;
      const Batch batch = begin_batch_locked(dirty->second);
      next = std::uint64_t{batch.first_page} + batch.frames.size();
      all_good = write_back(lock, batch) && all_good;
    }
    // Also those that have begun while we wait: a page that was skipped may be in one of them.
    const bool are_over = wait(lock, [&] {
      return std::ranges::none_of(
          file.batches, [&](const auto& batch) { return batch.second <= since_max; });
    });
    if (!are_over) return takes_too_long();
    if (!has_dirty_locked(file, since_max)) return {};
  }
  const Error told = file.last_failure;
  file.failed.reset();
  return fail(told);
}

// One at a time: Linux tells a failure once, also if it is about what two of us have written. The
// one that hears of it must have said so here before another one believes its own success.
Result<void> PageCache::sync(Lock& lock, File& file) {
  const std::uint64_t failures = file.sync_failures;
  if (!wait(lock, [&file] { return !file.syncing; })) return takes_too_long();
  file.syncing = true;
  const std::uint64_t before = last_count_;
  lock.unlock();
  machine::fault_point(machine::FaultPoint::file_sync);
  const auto done = file.backing->fdatasync();
  lock.lock();
  file.syncing = false;
  changed_.notify_all();
  if (!done) {
    ++file.sync_failures;
    file.last_failure = done.error();
    // Linux may have thrown away what it could not write, and will not say so again.
    const std::uint64_t due = now_ns() + parts_.retry_ns;
    for (std::uint32_t f = file.first_frame; f != no_frame; f = pages_[f].file_after) {
      const Page& page = pages_[f];
      const bool is_at_stake = page.state == PageState::ready && page.written > file.synced;
      if (is_at_stake && page.dirty == 0) make_dirty_locked(f, page.written, due);
    }
    file.failed.reset();
    return done;
  }
  // Another one has heard of a failure that was ours as well.
  if (file.sync_failures != failures) return fail(file.last_failure);
  file.synced = std::max(file.synced, before);
  return {};
}

}  // namespace hive::cell
