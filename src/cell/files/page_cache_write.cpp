// Writing, truncation, and dropping.

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "cell/files/page_cache.h"

namespace hive::cell {

using machine::page_bytes;

Result<FileContent::Appended> PageCache::write(File& file, std::optional<std::uint64_t> offset,
                                               std::span<const std::byte> bytes) {
  if (bytes.size() > content_call_bytes_max) {
    return failure(Code::bad_argument, EINVAL, "more bytes than one write may have");
  }
  Lock lock(mutex_);
  const bool may = wait(lock, [&file] {
    return !file.writer && !file.alone && file.waits_alone == 0;
  });
  if (!may) return takes_too_long();
  if (file.is_gone) return is_gone();
  FileContent::Appended done{.offset = offset.value_or(file.size)};
  if (done.offset > content_bytes_max || bytes.size() > content_bytes_max - done.offset) {
    return failure(Code::bad_argument, EFBIG, "a file is not as long as that");
  }
  file.writer = true;
  Result<std::size_t> step = std::size_t{0};
  if (done.offset + bytes.size() > file.size) {
    if (auto clear = clear_end(lock, file); !clear) step = fail(clear.error());
  }
  while (step && done.bytes < bytes.size()) {
    step = write_step(lock, file, done.offset + done.bytes, bytes.subspan(done.bytes), false);
    if (step) done.bytes += *step;
  }
  file.writer = false;
  changed_.notify_all();
  if (!step && done.bytes == 0) return fail(step.error());
  return done;
}

bool PageCache::write_now(File& file, std::uint64_t offset, std::span<const std::byte> bytes) {
  if (offset % page_bytes != 0 || bytes.size() % page_bytes != 0 ||
      bytes.size() > content_call_bytes_max || offset > content_bytes_max - bytes.size()) {
    return false;
  }
  Lock lock(mutex_);
  if (file.writer || file.alone || file.waits_alone > 0 || file.is_gone) return false;
  if (offset + bytes.size() > file.size && unclear_end_locked(file)) return false;
  file.writer = true;
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto step = write_step(lock, file, offset + done, bytes.subspan(done), true);
    if (!step || *step == 0) break;
    done += *step;
  }
  file.writer = false;
  changed_.notify_all();
  return done == bytes.size();
}

Result<std::size_t> PageCache::write_step(Lock& lock, File& file, std::uint64_t at,
                                          std::span<const std::byte> bytes, bool at_once) {
  const std::size_t skip = at % page_bytes;
  const auto page = static_cast<std::uint32_t>(at / page_bytes);
  const Frames ready = ready_run_locked(file, page, files::pages_of(skip + bytes.size()));
  const auto borrowed = [this](std::uint32_t f) { return is_borrowed(f); };
  if (!ready.empty()) {
    // Another cell may be asked about these.
    if (at_once && std::ranges::any_of(ready, borrowed)) return takes_too_long();
    const auto clean_borrowed = std::ranges::find_if(ready, [this](std::uint32_t f) {
      return is_borrowed(f) && pages_[f].dirty == 0;
    });
    if (clean_borrowed != ready.end() && has_own_pages_locked()) {
      (void)reclaim_some(lock, {*clean_borrowed, 1});
      return std::size_t{0};
    }
    pin_locked(ready);
    lock.unlock();
    const std::size_t count = std::min(ready.size() * page_bytes - skip, bytes.size());
    const auto copied = copy_in(ready, skip, bytes.first(count));
    lock.lock();
    const bool is_lost = any_lost_locked(ready);
    if (!is_lost) wrote_locked(file, ready, copied ? at + count : file.size);
    unpin_locked(ready);
    if (is_lost) return std::size_t{0};
    if (!copied) return fail(copied.error());
    return count;
  }
  if (table_.find(file.number, page)) {
    if (at_once || !wait_for_fill(lock, file, page)) return takes_too_long();
    return std::size_t{0};
  }
  return write_missing(lock, file, at, bytes, at_once);
}

// Makes the pages out of what the disk has and the bytes. Those that the bytes cover whole, or
// that lie behind the end of the file, are not read.
Result<std::size_t> PageCache::write_missing(Lock& lock, File& file, std::uint64_t at,
                                             std::span<const std::byte> bytes,
                                             bool at_once) {
  const std::size_t skip = at % page_bytes;
  const auto page = static_cast<std::uint32_t>(at / page_bytes);
  const std::uint32_t wanted =
      missing_run_locked(file, page, files::pages_of(skip + bytes.size()));
  // What is dirty is not to be lost because a lender wants its frames, or dies.
  auto frames = get_frames(lock, wanted, at_once, true);
  const bool has_none = !frames && frames.error().code == Code::exhausted;
  if (has_none && !at_once) frames = get_frames(lock, wanted);
  if (!frames) return fail(frames.error());
  const std::uint32_t pages =
      missing_run_locked(file, page, static_cast<std::uint32_t>(frames->size()));
  std::ranges::sort(*frames);
  const std::span<const std::uint32_t> used(frames->data(), pages);
  spare_locked(std::span(*frames).subspan(pages));
  if (pages == 0) return std::size_t{0};
  for (std::uint32_t i = 0; i < pages; ++i) begin_fill_locked(file, page + i, used[i]);
  counts_.misses += pages;
  const std::uint64_t file_bytes = file.size;  // no other writer, no truncation
  lock.unlock();

  const std::size_t count = std::min(pages * page_bytes - skip, bytes.size());
  const bool are_whole = skip == 0 && count == pages * page_bytes;
  const auto good = are_whole ? copy_in(used, 0, bytes.first(count))
                              : fill_around(file, used, at, file_bytes, bytes.first(count));
  if (!good) {
    if (fail_fill(lock, used)) return std::size_t{0};
    return fail(good.error());
  }
  if (!finish_fill(lock, file, page, used)) return std::size_t{0};
  wrote_locked(file, used, at + count);
  return count;
}

void PageCache::wrote_locked(File& file, std::span<const std::uint32_t> frames,
                             std::uint64_t end) {
  const std::uint64_t due = now_ns() + parts_.dirty_age_ns;
  for (const std::uint32_t frame : frames) {
    const Page& page = pages_[frame];
    if (page.dirty == 0 && !page.doubted) make_dirty_locked(frame, ++last_count_, due);
  }
  if (end > file.size) file.set_size(end);
  file.modified_ns = file.changed_ns = wall_clock_ns();
}

// The frame of the last page, if something may have been stored behind the end of the file there.
std::optional<std::uint32_t> PageCache::unclear_end_locked(const File& file) const {
  if (file.size % page_bytes == 0) return std::nullopt;
  const auto frame = table_.find(file.number, static_cast<std::uint32_t>(file.size / page_bytes));
  if (!frame || pages_[*frame].state != PageState::ready) return std::nullopt;
  return pages_[*frame].stored_to ? frame : std::nullopt;
}

// Invariant 5, before the file grows. The file has a writer, or somebody has it for himself.
Result<void> PageCache::clear_end(Lock& lock, File& file) {
  const auto frame = unclear_end_locked(file);
  if (!frame) return {};
  const std::size_t keep = file.size % page_bytes;
  pin_locked({&*frame, 1});
  lock.unlock();
  auto done = copy_in({&*frame, 1}, keep, std::vector<std::byte>(page_bytes - keep));
  lock.lock();
  unpin_locked({&*frame, 1});
  return done;
}

// Fills frames with the bytes at their place, and with what the disk has around them.
Result<void> PageCache::fill_around(const File& file, std::span<const std::uint32_t> frames,
                                    std::uint64_t at, std::uint64_t file_bytes,
                                    std::span<const std::byte> bytes) {
  const std::size_t skip = at % page_bytes;
  const auto page = static_cast<std::uint32_t>(at / page_bytes);
  const auto pages = static_cast<std::uint32_t>(frames.size());
  std::vector<std::byte> content(pages * page_bytes);
  const std::size_t last = (pages - 1) * page_bytes;
  const std::span<std::byte> first_page(content.data(), page_bytes);
  const std::span<std::byte> last_page(content.data() + last, page_bytes);
  const bool ends_inside = skip + bytes.size() < content.size();
  if (skip > 0 || (pages == 1 && ends_inside)) {
    if (auto good = read_disk(file, page, file_bytes, first_page); !good) return good;
  }
  if (pages > 1 && ends_inside) {
    if (auto good = read_disk(file, page + pages - 1, file_bytes, last_page); !good) return good;
  }
  std::memcpy(content.data() + skip, bytes.data(), bytes.size());
  return copy_in(frames, 0, content);
}

// --- alone --------------------------------------------------------------------------------------

Result<void> PageCache::begin_alone(Lock& lock, File& file) {
  ++file.waits_alone;
  const bool may = wait(lock, [&file] {
    return file.readers == 0 && !file.writer && !file.alone && file.batches.empty() &&
           file.leaving == 0;
  });
  --file.waits_alone;
  if (may) {
    file.alone = true;
    if (file.record) file.record->begin_cut();
    return {};
  }
  changed_.notify_all();
  work_.notify_all();
  return takes_too_long();
}

void PageCache::end_alone_locked(File& file) {
  file.alone = false;
  if (file.record) file.record->end_cut(file.size);
  file.ahead_until = 0;
  changed_.notify_all();
  work_.notify_all();
}

// The disk first: if it refuses, nothing has changed.
Result<void> PageCache::truncate(File& file, std::uint64_t bytes) {
  if (bytes > content_bytes_max) {
    return failure(Code::bad_argument, EFBIG, "a file is not as long as that");
  }
  Lock lock(mutex_);
  if (auto begun = begin_alone(lock, file); !begun) return begun;
  Result<void> done;
  if (bytes > file.size) done = clear_end(lock, file);
  lock.unlock();
  if (done) done = file.backing->truncate(bytes);
  const std::int64_t now = wall_clock_ns();
  if (done) (void)file.backing->set_modified(now);  // else it is what the host's clock says
  lock.lock();
  if (done) {
    file.modified_ns = file.changed_ns = now;
    file.written = ++last_count_;
  }
  if (done && bytes < file.size) {
    drop_pages(lock, file, files::pages_of(bytes));
    const std::size_t keep = bytes % page_bytes;
    const auto frame = keep == 0 ? std::nullopt
                                 : table_.find(file.number, static_cast<std::uint32_t>(
                                                                bytes / page_bytes));
    if (frame) {
      pin_locked({&*frame, 1});
      lock.unlock();
      done = copy_in({&*frame, 1}, keep, std::vector<std::byte>(page_bytes - keep));
      lock.lock();
      if (any_lost_locked({&*frame, 1})) done = {};  // the disk has it right
      unpin_locked({&*frame, 1});
    }
  }
  if (done) file.set_size(bytes);
  end_alone_locked(file);
  return done;
}

Result<void> PageCache::drop(File& file) {
  Lock lock(mutex_);
  if (auto begun = begin_alone(lock, file); !begun) return begun;
  drop_pages(lock, file, 0);
  file.failed.reset();
  lock.unlock();
  const auto bytes = file.backing->size();
  lock.lock();
  if (bytes) file.set_size(*bytes);
  file.modified_ns = file.changed_ns = 0;
  end_alone_locked(file);
  if (!bytes) return fail(bytes.error());
  return {};
}

// All pages from that one on. Nobody else is at work on them.
void PageCache::drop_pages(Lock& lock, File& file, std::uint32_t first, bool only_doubted) {
  Frames gone;
  for (std::uint32_t frame = file.first_frame; frame != no_frame;
       frame = pages_[frame].file_after) {
    if (pages_[frame].page < first || (only_doubted && !pages_[frame].doubted)) continue;
    begin_leaving_locked(frame);
    gone.push_back(frame);
  }
  if (gone.empty()) return;
  (void)take_from_mappings(lock, gone);
  end_leaving_locked(gone);
  give_back(lock, std::move(gone));
}

}  // namespace hive::cell
