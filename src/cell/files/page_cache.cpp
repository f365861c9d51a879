// Opening, closing, the threads, and the books.

#include "cell/files/page_cache.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/check.h"

namespace hive::cell {
namespace {

// Each means that files came and went while one asked for a size.
constexpr int open_tries_max = 100;

}  // namespace

// A file that somebody has open.
class PageCache::Content final : public FileContent {
 public:
  Content(PageCache& cache, FileRef file) : cache_(cache), file_(std::move(file)) {}
  Content(const Content&) = delete;
  Content& operator=(const Content&) = delete;
  ~Content() override { cache_.close(*file_); }

  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) override {
    return cache_.read(file_, offset, out);
  }
  Result<std::size_t> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    const auto done = cache_.write(*file_, offset, bytes);
    if (!done) return fail(done.error());
    return done->bytes;
  }
  bool write_now(std::uint64_t offset, std::span<const std::byte> bytes) override {
    return cache_.write_now(*file_, offset, bytes);
  }
  Result<Appended> append(std::span<const std::byte> bytes) override {
    return cache_.write(*file_, std::nullopt, bytes);
  }
  Result<void> truncate(std::uint64_t bytes) override { return cache_.truncate(*file_, bytes); }
  Result<void> flush() override { return cache_.flush(*file_); }
  std::uint64_t size() const override {
    const Lock lock(cache_.mutex_);
    return file_->size;
  }
  Result<std::vector<HeldFrame>> hold(std::uint32_t page, std::uint32_t first,
                                      std::uint32_t count, bool at_once) override {
    return cache_.hold(file_, page, first, count, at_once);
  }
  Result<void> expect_stores(const HeldFrame& held) override {
    return cache_.expect_stores(*file_, held);
  }
  std::uint64_t record() const override {
    return reinterpret_cast<std::uintptr_t>(file_->record.get());
  }
  void set_generation(std::uint64_t generation) override {
    if (file_->record) file_->record->generation.store(generation);
  }
  Result<void> drop() override { return cache_.drop(*file_); }

 private:
  PageCache& cache_;
  const FileRef file_;
};

Result<std::unique_ptr<PageCache>> PageCache::create(Parts parts) {
  HIVE_CHECK(parts.heap != nullptr && parts.frames != nullptr);
  auto table = CacheTable::create(*parts.heap, parts.node_frames + parts.borrowed_frames,
                                  parts.self);
  if (!table) return fail(table.error());
  if (parts.dirty_pages_high == 0) parts.dirty_pages_high = parts.node_frames / 4;
  auto made = std::unique_ptr<PageCache>(new PageCache(std::move(parts), std::move(*table)));
  made->parts_.frames->use_reclaimer(made.get());
  return made;
}

PageCache::PageCache(Parts parts, CacheTable table)
    : parts_(std::move(parts)),
      table_(std::move(table)),
      pages_(parts_.node_frames + parts_.borrowed_frames),
      ghosts_(parts_.borrowed_frames == 0 ? 0 : cache_buckets(parts_.node_frames)) {}

PageCache::~PageCache() {
  parts_.frames->use_reclaimer(nullptr);
  {
    const Lock lock(mutex_);
    stopping_ = true;
    work_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  Lock lock(mutex_);
  for (const auto& [number, file] : files_) {
    HIVE_CHECK(file->opens == 0);
    drop_pages(lock, *file, 0);
  }
  Frames spare = std::move(spare_);
  for (const std::uint32_t frame : spare) pages_[frame].state = PageState::moving;
  in_hand_ += spare.size();
  give_back(lock, std::move(spare));
}

void PageCache::use_marks(std::function<std::shared_ptr<const PageMarks>()> marks) {
  const Lock lock(mutex_);
  marks_ = std::move(marks);
}

Failure PageCache::takes_too_long() const {
  return failure(Code::busy, EAGAIN, "I/O on these pages takes too long");
}

Failure PageCache::is_gone() const {
  return failure(Code::bad_argument, EBADF, "the file was removed");
}

Result<std::shared_ptr<FileContent>> PageCache::open(FileNumber number, const MakeBacking& make) {
  HIVE_CHECK(number != 0);
  Lock lock(mutex_);
  if (!start_threads_locked()) {
    return failure(Code::exhausted, EAGAIN, "the host gives the page cache no threads");
  }
  auto known = files_.find(number);
  std::unique_ptr<FileBacking> backing;
  for (int i = 0; known == files_.end(); ++i) {
    if (i == open_tries_max) return takes_too_long();
    const std::uint64_t before = let_go_;
    lock.unlock();
    if (!backing) {
      auto made = make();
      if (!made) return fail(made.error());
      backing = std::move(*made);
    }
    const auto size = backing->size();
    if (!size) return fail(size.error());
    lock.lock();
    known = files_.find(number);
    // Somebody else may have had it open meanwhile, made it longer, and closed it.
    if (known != files_.end() || let_go_ != before) continue;
    auto file = std::make_shared<File>();
    file->number = number;
    file->backing = std::move(backing);
    file->record = {parts_.heap->create<FileRecord>(), files::FreeRecord{parts_.heap}};
    if (file->record) file->record->number = number;
    file->set_size(*size);
    known = files_.emplace(number, std::move(file)).first;
  }
  const FileRef& file = known->second;
  if (file->is_gone) return failure(Code::not_found, ENOENT, "the file is being removed");
  if (file->opens++ == 0) std::erase(idle_, number);
  return std::make_shared<Content>(*this, file);
}

void PageCache::close(File& file) {
  const Lock lock(mutex_);
  if (--file.opens == 0 && !let_go_locked(file)) idle_.push_back(file.number);
  if (idle_.size() > idle_files_max) work_.notify_one();
}

// Forgets a file that nobody has open and that has nothing here. The caller has a reference still,
// so that its backing is not closed under the lock.
bool PageCache::let_go_locked(const File& file) {
  if (file.opens > 0 || file.frames > 0 || file.readers > 0 || !file.batches.empty()) return false;
  std::erase(idle_, file.number);
  files_.erase(file.number);
  ++let_go_;
  return true;
}

Result<void> PageCache::forget(FileNumber number) { return drop(number, Dropped::file); }

Result<void> PageCache::drop(FileNumber number, Dropped what) {
  FileRef file;
  Lock lock(mutex_);
  const auto known = files_.find(number);
  if (known == files_.end()) return {};
  file = known->second;
  if (what == Dropped::file) file->is_gone = true;
  if (auto begun = begin_alone(lock, *file); !begun) return begun;
  drop_pages(lock, *file, 0, what == Dropped::doubted);
  end_alone_locked(*file);
  (void)let_go_locked(*file);
  lock.unlock();
  return {};
}

Result<void> PageCache::flush_all(std::uint64_t deadline_ns) {
  std::vector<FileRef> all;
  {
    const Lock lock(mutex_);
    for (const auto& [number, file] : files_) {
      if (is_unflushed_locked(*file)) all.push_back(file);
    }
  }
  // First to the host, where it outlives this cell, and then to the disk. Errors are told below.
  for (const FileRef& file : all) {
    if (now_ns() >= deadline_ns) break;
    Lock lock(mutex_);
    (void)write_dirty(lock, *file, last_count_);
  }
  Result<void> first;
  for (const FileRef& file : all) {
    if (now_ns() >= deadline_ns) return failure(Code::timed_out, ETIMEDOUT, "the disk is slow");
    if (auto done = flush(*file); !done && first) first = done;
  }
  return first;
}

// --- the threads --------------------------------------------------------------------------------

// False: there is none. One does the work of all, if later; the others are tried for again.
bool PageCache::start_threads_locked() {
  try {
    while (threads_.size() < static_cast<std::size_t>(parts_.threads)) {
      threads_.emplace_back([this] { work(); });
    }
  } catch (const std::system_error&) {
    return !threads_.empty();
  }
  return true;
}

void PageCache::work() {
  Lock lock(mutex_);
  while (!stopping_) {
    if (work_once(lock)) continue;
    const std::uint64_t until = sleep_until_locked();
    if (until == 0) {
      work_.wait(lock);
    } else {
      const std::uint64_t now = now_ns();
      work_.wait_for(lock, std::chrono::nanoseconds(until > now ? until - now : 1));
    }
  }
}

// False: there is nothing to do just now.
bool PageCache::work_once(Lock& lock) {
  if (!ahead_.empty()) {
    const Ahead job = std::move(ahead_.front());
    ahead_.pop_front();
    read_ahead(lock, job);
    return true;
  }
  if (!lost_.empty() && let_lost_go(lock)) return true;
  if (const auto frame = due_locked()) {
    (void)write_back(lock, begin_batch_locked(*frame));
    return true;
  }
  return idle_.size() > idle_files_max && retire(lock);
}

// When a dirty page is due next; 0: none is dirty.
std::uint64_t PageCache::sleep_until_locked() const {
  return due_.empty() ? 0 : std::max<std::uint64_t>(due_.begin()->first, now_ns() + ns_per_ms);
}

// Lets the file go that nobody has opened for the longest time. False: its disk refuses, or it is
// in use; then another one has its turn when there is something to do again.
bool PageCache::retire(Lock& lock) {
  FileRef file = files_.at(idle_.front());
  std::rotate(idle_.begin(), idle_.begin() + 1, idle_.end());  // if not now, then much later
  ++file->opens;  // by us
  bool is_written = true;
  for (auto dirty = file->dirty.begin(); is_written && dirty != file->dirty.end();
       dirty = file->dirty.begin()) {
    is_written = pages_[dirty->second].tries_at_ns <= now_ns() &&
                 may_write_back_locked(dirty->second) &&
                 write_back(lock, begin_batch_locked(dirty->second));
  }
  const bool is_used = file->opens > 1 || file->readers > 0 || !file->batches.empty() ||
                       file->leaving > 0;
  if (is_written && !is_used) drop_pages(lock, *file, 0);
  --file->opens;
  const bool gone = let_go_locked(*file);
  lock.unlock();
  file.reset();
  lock.lock();
  return gone;
}

// --- the books ----------------------------------------------------------------------------------

std::optional<ContentStatus> PageCache::status(FileNumber number) const {
  const Lock lock(mutex_);
  const auto known = files_.find(number);
  if (known == files_.end()) return std::nullopt;
  const File& file = *known->second;
  return ContentStatus{.bytes = file.size,
                       .unwritten_bytes = (file.dirty.size() + file.writing) * machine::page_bytes,
                       .modified_ns = file.modified_ns,
                       .changed_ns = file.changed_ns};
}

std::uint64_t PageCache::unwritten_bytes() const {
  const Lock lock(mutex_);
  std::uint64_t pages = due_.size();
  for (const auto& [number, file] : files_) pages += file->writing;
  return pages * machine::page_bytes;
}

// Where nothing was written, the disk says it already.
void PageCache::set_modified(FileNumber number, std::int64_t ns) {
  FileRef file;
  Lock lock(mutex_);
  const auto known = files_.find(number);
  if (known == files_.end() || known->second->modified_ns == 0) return;
  file = known->second;
  file->modified_ns = ns;
  ++file->readers;  // it stays
  stamp(lock, *file);
  end_read_locked(*file);
  lock.unlock();
}

PageCache::Counts PageCache::counts() const {
  const Lock lock(mutex_);
  Counts counts = counts_;
  counts.pages = ring_.size();
  counts.dirty = due_.size();
  return counts;
}

Result<void> PageCache::check() const {
  const Lock lock(mutex_);
  const auto differs = [this](const char* what) {
    return fail(Code::corrupt, what, parts_.self);
  };
  std::vector<HeldFrame> held;
  std::size_t known = 0;
  std::size_t in_hand = 0;
  std::size_t dirty = 0;
  for (std::uint32_t frame = 0; frame < pages_.size(); ++frame) {
    const Page& page = pages_[frame];
    const CacheEntry& entry = table_.entry(frame);
    const bool is_linked = page.state == PageState::filling || page.state == PageState::ready;
    known += page.state == PageState::absent ? 0 : 1;
    in_hand += page.state == PageState::moving ? 1 : 0;
    dirty += page.dirty != 0 ? 1 : 0;
    if (is_linked != (entry.file != 0)) return differs("a cached page is not in the table");
    if (!is_linked) continue;
    if (entry.file != page.file->number || entry.page != page.page ||
        table_.find(entry.file, entry.page) != frame) {
      return differs("the table of cached pages leads to other frames than they are in");
    }
    if (page.state == PageState::ready) {
      held.push_back({frame, entry.page, entry.file, entry.sequence});
    }
  }
  std::size_t of_files = 0;
  for (const auto& [number, file] : files_) of_files += file->frames;
  if (held.size() != ring_.size() || in_hand != in_hand_ || of_files != linked_ ||
      known != linked_ + spare_.size() + in_hand) {
    return differs("the frames of the page cache do not add up");
  }
  if (dirty != due_.size() || dirty != table_.head().dirty.load() ||
      ring_.size() != table_.head().pages.load()) {
    return differs("the dirty pages of the page cache do not add up");
  }
  return parts_.frames->check_cached(held, known, in_transit_ > 0);
}

}  // namespace hive::cell
