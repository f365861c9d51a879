// Reading, and reading ahead.

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "cell/files/page_cache.h"

namespace hive::cell {

using machine::page_bytes;

namespace {

std::uint32_t page_at(std::uint64_t offset) {
  return static_cast<std::uint32_t>(offset / page_bytes);
}

}  // namespace

Result<std::size_t> PageCache::read(const FileRef& file, std::uint64_t offset,
                                    std::span<std::byte> out) {
  if (out.size() > content_call_bytes_max) {
    return failure(Code::bad_argument, EINVAL, "more bytes than one read may ask for");
  }
  Lock lock(mutex_);
  if (auto begun = begin_read(lock, *file); !begun) return fail(begun.error());
  std::size_t done = 0;
  Result<std::size_t> step = std::size_t{0};
  while (step && done < out.size() && offset < file->size && done < file->size - offset) {
    const std::uint64_t at = offset + done;
    const std::size_t count = std::min<std::uint64_t>(out.size() - done, file->size - at);
    step = read_step(lock, *file, at, out.subspan(done, count));
    if (step) done += *step;
  }
  if (step) note_read_locked(file, offset, done);
  end_read_locked(*file);
  if (!step && done == 0) return step;
  return done;
}

Result<std::size_t> PageCache::read_step(Lock& lock, File& file, std::uint64_t at,
                                         std::span<std::byte> out) {
  const std::size_t skip = at % page_bytes;
  const std::uint32_t count = files::pages_of(skip + out.size());
  const Frames ready = ready_run_locked(file, page_at(at), count);
  if (!ready.empty()) {
    pin_locked(ready);
    lock.unlock();
    const std::size_t bytes = std::min(ready.size() * page_bytes - skip, out.size());
    const auto copied = copy_out(ready, skip, out.first(bytes));
    lock.lock();
    const bool is_lost = any_lost_locked(ready);
    unpin_locked(ready);
    if (!copied && is_lost) return std::size_t{0};
    if (!copied) return fail(copied.error());
    return bytes;
  }
  if (table_.find(file.number, page_at(at))) {
    if (!wait_for_fill(lock, file, page_at(at))) return takes_too_long();
    return std::size_t{0};
  }
  const auto filled = read_missing(lock, file, page_at(at), count);
  if (!filled) return fail(filled.error());
  if (filled->pages == 0) return std::size_t{0};
  counts_.misses += filled->pages;
  // What was read, and not what is in the frames: they may have left again.
  const std::size_t bytes = std::min(filled->bytes.size() - skip, out.size());
  std::memcpy(out.data(), filled->bytes.data() + skip, bytes);
  return bytes;
}

Result<PageCache::Filled> PageCache::read_missing(Lock& lock, File& file, std::uint32_t page,
                                                  std::uint32_t count, bool own_only) {
  auto frames = get_frames(lock, missing_run_locked(file, page, count), false, own_only);
  if (!frames) return fail(frames.error());
  // Others may have filled some meanwhile.
  Filled filled;
  filled.pages = missing_run_locked(file, page, static_cast<std::uint32_t>(frames->size()));
  // In order, so that neighbours in the file often are neighbours in memory.
  std::ranges::sort(*frames);
  const std::span<const std::uint32_t> used(frames->data(), filled.pages);
  spare_locked(std::span(*frames).subspan(filled.pages));
  for (std::uint32_t i = 0; i < filled.pages; ++i) begin_fill_locked(file, page + i, used[i]);
  if (filled.pages == 0) return filled;
  const std::uint64_t file_bytes = file.size;
  lock.unlock();
  filled.bytes.resize(filled.pages * page_bytes);
  const std::uint64_t begin = now_ns();
  auto read = read_disk(file, page, file_bytes, filled.bytes);
  const std::uint64_t end = now_ns();
  if (read) read = copy_in(used, 0, filled.bytes);
  if (read) {
    (void)finish_fill(lock, file, page, used);  // what was read is right in any case
    file.disk_ns = end - begin;
    return filled;
  }
  if (fail_fill(lock, used)) return Filled{};
  return fail(read.error());
}

// What the disk does not have is zero.
Result<void> PageCache::read_disk(const File& file, std::uint32_t page, std::uint64_t file_bytes,
                                  std::span<std::byte> out) {
  const std::uint64_t offset = std::uint64_t{page} * page_bytes;
  std::size_t there = 0;
  if (offset < file_bytes) {
    const std::size_t wanted = std::min<std::uint64_t>(out.size(), file_bytes - offset);
    const auto read = file.backing->pread(offset, out.first(wanted));
    if (!read) return fail(read.error());
    there = std::min(*read, wanted);
  }
  std::ranges::fill(out.subspan(there), std::byte{0});
  return {};
}

PageCache::Frames PageCache::ready_run_locked(File& file, std::uint32_t page,
                                              std::uint32_t count) {
  Frames run;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto frame = table_.find(file.number, page + i);
    if (!frame || pages_[*frame].state != PageState::ready || pages_[*frame].lost) break;
    // Others can store into the table if our memory is not sound: rather none than other bytes.
    HIVE_CHECK(pages_[*frame].file == &file && pages_[*frame].page == page + i);
    run.push_back(*frame);
  }
  return run;
}

std::uint32_t PageCache::missing_run_locked(File& file, std::uint32_t page,
                                            std::uint32_t count) const {
  std::uint32_t missing = 0;
  while (missing < count && !table_.find(file.number, page + missing)) ++missing;
  return missing;
}

bool PageCache::wait_for_fill(Lock& lock, File& file, std::uint32_t page) {
  return wait(lock, [&] {
    const auto frame = table_.find(file.number, page);
    return !frame || (pages_[*frame].state != PageState::filling && !pages_[*frame].lost);
  });
}

Result<void> PageCache::begin_read(Lock& lock, File& file) {
  const bool may = wait(lock, [&file] { return !file.alone && file.waits_alone == 0; });
  if (!may) return takes_too_long();
  if (file.is_gone) return is_gone();
  ++file.readers;
  return {};
}

void PageCache::end_read_locked(File& file) {
  if (--file.readers == 0) changed_.notify_all();
  (void)let_go_locked(file);
}

// Who goes on where he was before gets more and more read ahead.
void PageCache::note_read_locked(const FileRef& file, std::uint64_t offset, std::size_t bytes) {
  const bool is_slow = file->disk_ns >= parts_.slow_read_ns;
  const bool goes_on = offset == file->next_read && bytes > 0 && is_slow;
  file->next_read = offset + bytes;
  if (!goes_on) {
    file->ahead_pages = 0;
    file->ahead_until = 0;
    return;
  }
  file->ahead_pages = std::clamp(file->ahead_pages * 2, ahead_pages_min, ahead_pages_max);
  const std::uint32_t next = files::pages_of(file->next_read);
  const std::uint32_t end = std::min(next + file->ahead_pages, files::pages_of(file->size));
  std::uint32_t first = std::max(next, file->ahead_until);
  const auto is_enough = [&] { return first < end && end - first >= file->ahead_pages / 2; };
  if (!is_enough()) return;
  file->ahead_until = end;
  while (first < end && table_.find(file->number, first)) ++first;
  if (first == end || ahead_.size() >= ahead_jobs_max) return;
  ahead_.push_back({file, first, end - first});
  work_.notify_one();
}

// Errors are for who wants the page.
void PageCache::read_ahead(Lock& lock, const Ahead& job) {
  File& file = *job.file;
  if (file.opens == 0 || file.is_gone || file.alone || file.waits_alone > 0) return;
  ++file.readers;
  for (std::uint32_t i = 0; i < job.count;) {
    const std::uint32_t page = job.page + i;
    if (page >= files::pages_of(file.size) || stopping_) break;
    if (table_.find(file.number, page)) {
      ++i;
      continue;
    }
    const std::uint32_t count = std::min(job.count - i, files::pages_of(file.size) - page);
    const auto filled = read_missing(lock, file, page, count);
    if (!filled) break;
    counts_.read_ahead += filled->pages;
    i += filled->pages;
  }
  end_read_locked(file);
}

}  // namespace hive::cell
