// The page cache of a data home: the content of its files, in frames of its node.
//
//   auto cache = PageCache::create({.heap = &heap, .frames = home.get(), .node_frames = pages});
//   auto content = (*cache)->open(number, [&] { return HostFile::open(path); });
//   (*content)->read(0, bytes);   // content.h has the calls
//
// INVARIANTS
//  1. No lock is held over I/O, over copies of frames, or over calls of the memory home that may
//     block. Meanwhile pages are pinned, being written, or being filled; none of these leaves.
//  2. Nobody waits who has pinned a page, is filling one, or has frames: so who waits for frames
//     waits only for I/O, never for another one who waits.
//  3. I/O goes to and from the cell's own memory, never a frame.
//  4. A page leaves its frame only when it is clean. Then, in this order: its number in the table
//     becomes odd, and who wants the page waits; the frame's sequence number becomes odd; nobody
//     has it in a page table any more; it leaves the table. So no mapping shows an old frame of a
//     page that has another one. Then the frame gets its new content; its tag; an even number; and
//     is entered with this number in the table.
//  5. What a page has behind the end of its file is zero, but for what was stored there through a
//     mapping: that is cleared before the file grows.
//  6. A page that is being written back is dirty again from the first store that began after. It
//     is written back anew only when the first time is over, so the disk has the later one.
//  7. A failed write-back leaves the page as dirty as it was. A failed sync makes dirty again what
//     was written since the last one that succeeded, as far as it is still cached.
//  8. A page that a mapping may store to is dirty from before it is opened until after it was
//     closed and written back. One that is doubted is never written back after that. A page in a
//     borrowed frame is not mapped, and is written to only if no page is in a frame of the node.
//  9. A page whose frame is lost is used by nobody who comes, and is not written back. If it was
//     dirty, `content_lost` has been told before it leaves: so no flush succeeds in between.
//
// Thread-safety: any thread. open(), forget(), set_modified(), flush_all(), reclaim() block for as
// long as the disk does.
// Lock order: mutex_, then the memory home's (check() only).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <hive/error.h>
#include "base/time.h"
#include "cell/files/cache_page.h"
#include "cell/files/cache_table.h"
#include "cell/files/content.h"
#include "cell/frames/cache_frames.h"
#include "cell/frames/page_marks.h"

namespace hive::cell {

inline constexpr std::uint32_t batch_pages_max = 16;  // of one write-back, or one read of the disk
inline constexpr std::uint32_t ahead_pages_min = 4;
inline constexpr std::uint32_t ahead_pages_max = 32;
// How long one waits who can only wait for others to finish.
inline constexpr std::uint64_t frame_wait_ns = 10 * ns_per_ms;
inline constexpr std::size_t ahead_jobs_max = 64;
inline constexpr std::size_t idle_files_max = 256;  // that nobody has open, and that stay cached

class PageCache final : public FrameReclaimer, public ContentSource {
 public:
  // Rules that a test breaks, to see that they are needed.
  struct Sabotage {
    bool sequence = false;    // frames change hands without a new number
    bool write_back = false;  // dirty pages leave as if they were clean
    bool sync = false;        // flush() does nothing
  };
  struct Parts {
    TaggedHeap* heap = nullptr;     // outlives the cache
    CacheFrames* frames = nullptr;  // outlives the cache
    std::uint32_t node_frames = 0;
    std::uint32_t borrowed_frames = 0;  // that `frames` may have behind those of the node
    // Dirty pages of these files are lost. Called with no lock held; must not block.
    std::function<void(std::span<const FileNumber> files)> content_lost{};
    CellId self = -1;
    int threads = 2;                           // that write back and read ahead
    std::uint64_t dirty_age_ns = 5 * ns_per_s;  // then a page is written back in the background
    std::uint64_t retry_ns = 5 * ns_per_s;     // after a write-back in the background has failed
    // A disk that answers sooner has it in memory: to read ahead costs more than it saves.
    std::uint64_t slow_read_ns = 50 * ns_per_us;
    std::uint32_t dirty_pages_high = 0;        // more: at once. 0: a quarter of the node's frames
    Sabotage sabotage{};
  };
  // Errors: exhausted (the heap is full).
  static Result<std::unique_ptr<PageCache>> create(Parts parts);
  PageCache(const PageCache&) = delete;
  PageCache& operator=(const PageCache&) = delete;
  // What is dirty is lost; flush_all() comes before. No content is open any more.
  ~PageCache() override;

  Result<std::shared_ptr<FileContent>> open(FileNumber number, const MakeBacking& make) override;
  Result<void> forget(FileNumber number) override;
  std::optional<ContentStatus> status(FileNumber number) const override;
  std::uint64_t unwritten_bytes() const override;
  void set_modified(FileNumber number, std::int64_t ns) override;
  void doubt(std::span<const HeldFrame> frames) override;
  Result<void> drop_doubted(FileNumber number) override;

  // Flushes every file that has been written since its last flush, also after an error; returns
  // the first one. Errors: those of flush(); timed_out (the next file would have come after that,
  // by now_ns()).
  Result<void> flush_all(std::uint64_t deadline_ns = ~std::uint64_t{0});

  // Who tells which pages were read in place; none at first. Called with the cache's mutex held.
  void use_marks(std::function<std::shared_ptr<const PageMarks>()> marks);

  bool reclaim(machine::PageRange range) override;
  void lose(std::span<const std::uint32_t> frames) override;
  void give_up_idle(machine::PageRange range) override;
  Result<void> check() const override;

  std::uint64_t table_address() const {
    return reinterpret_cast<std::uintptr_t>(&table_.head());
  }
  struct Counts {
    std::uint64_t pages = 0;  // cached now
    std::uint64_t dirty = 0;  // of these
    std::uint64_t hits = 0;   // pages read or written that were there
    std::uint64_t misses = 0;
    std::uint64_t read_ahead = 0;
    std::uint64_t evicted = 0;  // to make room for other pages, or for segments
    std::uint64_t refaults = 0;  // of these, that were wanted again soon
    std::uint64_t lost = 0;      // with their frames
    std::uint64_t written_back = 0;
    std::uint64_t failures = 0;  // of write-back, pages
  };
  Counts counts() const;

 private:
  using File = files::CacheFile;
  using FileRef = std::shared_ptr<File>;
  using Page = files::CachePage;
  using PageState = files::PageState;
  using Lock = std::unique_lock<std::mutex>;
  using Frames = std::vector<std::uint32_t>;
  class Content;

  // page_cache.cpp
  PageCache(Parts parts, CacheTable table);
  void close(File& file);
  bool let_go_locked(const File& file);
  bool start_threads_locked();
  void work();
  bool work_once(Lock& lock);
  std::uint64_t sleep_until_locked() const;
  bool retire(Lock& lock);
  template <class Ready>
  bool wait(Lock& lock, Ready ready) {
    return changed_.wait_for(lock, std::chrono::nanoseconds(content_wait_max_ns), ready);
  }
  Failure failure(Code code, int sys_errno, const char* cause) const {
    return fail(code, cause, parts_.self, sys_errno);
  }
  Failure takes_too_long() const;
  Failure is_gone() const;

  // page_cache_frames.cpp. Frames in hand are in the state `moving`.
  // One or more frames, at most so many. Releases the lock. `at_once`: busy where it would have to
  // write something back, or to wait.
  Result<Frames> get_frames(Lock& lock, std::uint32_t frames_max, bool at_once = false,
                            bool own_only = false);
  struct Sweep {
    Frames clean;
    std::optional<std::uint32_t> dirty;   // a cold page that has to be written back first
    std::optional<std::uint32_t> failed;  // the same, of which this has failed lately
    bool all = false;                     // it has passed all of them
  };
  Sweep sweep_locked(std::uint32_t frames_max, bool own_only);
  void spare_locked(std::span<const std::uint32_t> frames);
  // One that is spare is in the caller's hand from now on.
  void take_spare_locked(std::uint32_t frame);
  void give_back(Lock& lock, Frames frames);
  // The page of a frame leaves: it is in hand after the second of these.
  void begin_leaving_locked(std::uint32_t frame);
  void end_leaving_locked(std::span<const std::uint32_t> frames);
  void detach_locked(std::uint32_t frame);  // both
  // Pages that leave are taken from whoever has them mapped; releases the lock. Frames of which
  // Linux refuses that are left out: they can only be given back.
  Frames take_from_mappings(Lock& lock, std::span<const std::uint32_t> frames);
  bool may_leave_locked(std::uint32_t frame) const;
  bool is_at_hand_locked(const File& file) const;
  void begin_fill_locked(File& file, std::uint32_t page, std::uint32_t frame);
  // Frames that hold pages from `page` on, in order, with their content written. False: some
  // can't hold anything, and all have been given back.
  bool finish_fill(Lock& lock, File& file, std::uint32_t page,
                   std::span<const std::uint32_t> filled);
  void abandon_fill_locked(std::span<const std::uint32_t> frames);
  // The same of frames whose content could not be written; takes the lock. True: they were lost,
  // and others may do.
  bool fail_fill(Lock& lock, std::span<const std::uint32_t> frames);
  void pin_locked(std::span<const std::uint32_t> frames);
  void unpin_locked(std::span<const std::uint32_t> frames);
  Result<void> copy_out(std::span<const std::uint32_t> frames, std::size_t skip,
                        std::span<std::byte> out);
  Result<void> copy_in(std::span<const std::uint32_t> frames, std::size_t skip,
                       std::span<const std::byte> bytes);
  void note_eviction_locked(std::uint32_t frame);
  void note_miss_locked(const File& file, std::uint32_t page);
  bool is_borrowed(std::uint32_t frame) const { return frame >= parts_.node_frames; }
  bool has_own_pages_locked() const { return linked_ > linked_borrowed_; }
  FramePlace place_of(std::uint32_t frame) const;
  enum class Left : std::uint8_t { nothing, some, failed };
  Left reclaim_some(Lock& lock, machine::PageRange range);
  bool any_lost_locked(std::span<const std::uint32_t> frames) const;
  // Lost pages that nobody is at work on leave. False: there are none, or somebody is.
  bool let_lost_go(Lock& lock);

  // page_cache_read.cpp. The steps return how much is done; 0: look again.
  Result<std::size_t> read(const FileRef& file, std::uint64_t offset, std::span<std::byte> out);
  Result<std::size_t> read_step(Lock& lock, File& file, std::uint64_t at,
                                std::span<std::byte> out);
  // Fills missing pages from `page` on, at most `count`, and returns what they hold.
  struct Filled {
    std::uint32_t pages = 0;
    std::vector<std::byte> bytes;
  };
  Result<Filled> read_missing(Lock& lock, File& file, std::uint32_t page, std::uint32_t count,
                              bool own_only = false);
  Result<void> read_disk(const File& file, std::uint32_t page, std::uint64_t file_bytes,
                         std::span<std::byte> out);
  // Ready pages from `page` on, at most `count`. Empty: the first is not ready.
  Frames ready_run_locked(File& file, std::uint32_t page, std::uint32_t count);
  std::uint32_t missing_run_locked(File& file, std::uint32_t page, std::uint32_t count) const;
  // The first page is being filled by somebody else.
  bool wait_for_fill(Lock& lock, File& file, std::uint32_t page);
  Result<void> begin_read(Lock& lock, File& file);
  void end_read_locked(File& file);
  void note_read_locked(const FileRef& file, std::uint64_t offset, std::size_t bytes);
  struct Ahead {
    FileRef file;
    std::uint32_t page;
    std::uint32_t count;
  };
  void read_ahead(Lock& lock, const Ahead& job);

  // page_cache_map.cpp
  Result<std::vector<HeldFrame>> hold(const FileRef& file, std::uint32_t page,
                                      std::uint32_t first, std::uint32_t count, bool at_once);
  Result<void> expect_stores(File& file, const HeldFrame& held);
  bool holds_locked(const HeldFrame& held) const;

  // page_cache_write.cpp
  Result<FileContent::Appended> write(File& file, std::optional<std::uint64_t> offset,
                                      std::span<const std::byte> bytes);
  bool write_now(File& file, std::uint64_t offset, std::span<const std::byte> bytes);
  Result<std::size_t> write_step(Lock& lock, File& file, std::uint64_t at,
                                 std::span<const std::byte> bytes, bool at_once);
  Result<std::size_t> write_missing(Lock& lock, File& file, std::uint64_t at,
                                    std::span<const std::byte> bytes, bool at_once);
  std::optional<std::uint32_t> unclear_end_locked(const File& file) const;
  Result<void> clear_end(Lock& lock, File& file);
  Result<void> fill_around(const File& file, std::span<const std::uint32_t> frames,
                           std::uint64_t at, std::uint64_t file_bytes,
                           std::span<const std::byte> bytes);
  void wrote_locked(File& file, std::span<const std::uint32_t> frames, std::uint64_t end);
  Result<void> begin_alone(Lock& lock, File& file);
  void end_alone_locked(File& file);
  Result<void> truncate(File& file, std::uint64_t bytes);
  Result<void> drop(File& file);
  enum class Dropped : std::uint8_t { file, doubted };
  Result<void> drop(FileNumber number, Dropped what);
  void drop_pages(Lock& lock, File& file, std::uint32_t first, bool only_doubted = false);

  // write_back.cpp
  struct Batch {
    FileRef file;
    std::uint64_t number = 0;
    std::uint32_t first_page = 0;
    std::size_t bytes = 0;  // of the file
    Frames frames;
    std::vector<std::uint64_t> dirty;  // of each, what it was
  };
  void make_dirty_locked(std::uint32_t frame, std::uint64_t since, std::uint64_t due_ns);
  void make_clean_locked(std::uint32_t frame);
  bool may_write_back_locked(std::uint32_t frame) const;
  // The page and its dirty neighbours in the file.
  Batch begin_batch_locked(std::uint32_t frame);
  // False: some of it could not be written.
  bool write_back(Lock& lock, const Batch& batch);
  Result<void> write_frames_of(Lock& lock, const Batch& batch, std::size_t first,
                               std::size_t count);
  std::optional<std::uint32_t> due_locked() const;
  Result<void> flush(File& file);
  Result<void> write_dirty(Lock& lock, File& file, std::uint64_t since_max);
  Result<void> sync(Lock& lock, File& file);
  // Whether there is anything for flush().
  bool is_unflushed_locked(const File& file) const;
  // The disk has the time of the file's last change. Returns with the lock.
  void stamp(Lock& lock, File& file);
  bool has_dirty_locked(const File& file, std::uint64_t since_max) const;
  FileRef ref_locked(const File& file) const { return files_.at(file.number); }

  const Parts parts_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;  // of a page or a file: who waits looks again
  std::condition_variable work_;     // there may be something for the threads
  // All that follows: guarded by mutex_.
  CacheTable table_;
  std::function<std::shared_ptr<const PageMarks>()> marks_;
  std::vector<Page> pages_;  // by frame
  Frames ring_;              // frames that are ready, in no order; the clock hand goes over it
  std::size_t hand_ = 0;
  Frames spare_;
  Frames lost_;                        // frames with lost pages, that have not left yet
  std::vector<std::uint64_t> ghosts_;  // what pages had to leave lately, by their hash
  std::size_t linked_ = 0;      // frames that are filling or ready
  std::size_t linked_borrowed_ = 0;  // of these
  std::size_t in_hand_ = 0;     // frames in the state `moving`
  std::size_t in_transit_ = 0;  // threads that take frames from the memory home or give them back
  std::unordered_map<FileNumber, FileRef> files_;
  std::uint64_t let_go_ = 0;     // files that have left `files_`
  std::deque<FileNumber> idle_;  // that nobody has open, longest first
  std::set<std::pair<std::uint64_t, std::uint32_t>> due_;  // when, dirty frame
  std::uint64_t last_count_ = 0;  // of pages becoming dirty, and of batches
  std::deque<Ahead> ahead_;
  Counts counts_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace hive::cell
