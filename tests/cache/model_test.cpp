// Random operations of several threads on cached files, against files in plain memory, on a node
// so small that frames are reclaimed all the time, by files and by segments, while write-backs
// fail now and then. The seed is printed; HIVE_TEST_SEED replays what each thread does.

#include <algorithm>
#include <array>
#include <iostream>
#include <thread>

#include "cache_fixture.h"

namespace hive::cell::test {
namespace {

constexpr int threads = 4;
constexpr int operations_of_thread = 1500;
constexpr std::uint64_t file_bytes_max = 40 * page;
constexpr std::uint64_t record_bytes = 700;  // so that pages are shared between threads
constexpr std::uint64_t records_of_thread = 60;
constexpr FileNumber shared_file = 100;
constexpr int tries_max = 1000;

enum Operation { op_read, op_write, op_append, op_truncate, op_flush, op_drop, op_reopen,
                 op_shared_write, op_shared_read, op_check, op_count };
constexpr std::array<const char*, op_count> operation_names = {
    "read", "write", "append", "truncate", "flush", "drop", "reopen", "shared write",
    "shared read", "check"};

// In words; empty: there is none.
std::string difference(const Bytes& seen, const Bytes& wanted) {
  const auto [here, there] = std::ranges::mismatch(seen, wanted);
  if (here == seen.end() && there == wanted.end()) return "";
  return std::to_string(seen.size()) + " and " + std::to_string(wanted.size()) +
         " bytes, the first " + std::to_string(here - seen.begin()) + " of which are equal";
}

class CacheModel : public CacheTest {
 protected:
  // One thread, with a file that is its own and its records in the one that all share.
  class Worker;
  void make_segments(unsigned seed, const std::atomic<bool>& over);

  std::array<std::atomic<std::uint64_t>, op_count> done{};
  std::atomic<std::uint64_t> errors{0}, segments{0};
};

class CacheModel::Worker {
 public:
  Worker(CacheModel& test, int index, unsigned seed)
      : test_(test), index_(static_cast<unsigned>(index)), random_(seed),
        file_(test.open(number())), shared_(test.open(shared_file)) {}

  void run() {
    for (int i = 0; i < operations_of_thread && !::testing::Test::HasFailure(); ++i) {
      const auto operation = static_cast<Operation>(below(op_count));
      one(operation);
      ++test_.done[operation];
    }
  }
  // Everything is on the disk at the end.
  void finish() {
    disk().refuse_nothing();
    flush();
    EXPECT_EQ(difference(disk().synced(), model_), "") << "file of thread " << index_;
    for (std::uint64_t r = 0; r < records_of_thread; ++r) check_record(r);
  }

 private:
  FileNumber number() const { return 1 + index_; }
  DiskFile& disk() { return *test_.disk(number()); }
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  Bytes random_bytes(std::size_t count) {
    Bytes bytes(count);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random_());
    return bytes;
  }
  std::size_t some_bytes() {
    const std::size_t longest = below(4) == 0 ? content_call_bytes_max : 2 * page;
    return 1 + below(longest);
  }
  // A file whose disk fails can take the frames of all: then nothing is done, or a part.
  void note(const Error& e) {
    ++test_.errors;
    EXPECT_TRUE(e.sys_errno == EIO || e.sys_errno == ENOMEM) << e.message();
  }

  void one(Operation operation) {
    switch (operation) {
      case op_read: return read();
      case op_write: return write(below(file_bytes_max), some_bytes());
      case op_append: return append();
      case op_truncate: return truncate(below(4) == 0 ? below(file_bytes_max) : model_.size());
      case op_flush: return flush();
      case op_drop: return below(4) == 0 ? drop() : flush();
      case op_reopen:
        file_.reset();
        file_ = test_.open(number());
        EXPECT_EQ(file_->size(), model_.size());
        return;
      case op_shared_write: return write_record(below(records_of_thread));
      case op_shared_read: return check_record(below(records_of_thread));
      case op_check: return test_.expect_sound();
      default: return;
    }
  }
  void read() {
    const std::uint64_t offset = below(file_bytes_max);
    Bytes out(some_bytes());
    const auto got = file_->read(offset, out);
    if (!got) return note(got.error());
    out.resize(*got);
    const std::size_t begin = std::min<std::uint64_t>(offset, model_.size());
    const std::size_t count = std::min(out.size(), model_.size() - begin);
    ASSERT_EQ(difference(out, part(model_, begin, count)), "") << "at " << offset;
  }
  void store(std::uint64_t offset, const Bytes& bytes, std::size_t count) {
    if (count == 0) return;
    if (model_.size() < offset + count) model_.resize(offset + count);
    std::copy_n(bytes.begin(), count, model_.begin() + static_cast<long>(offset));
  }
  void write(std::uint64_t offset, std::size_t count) {
    const Bytes bytes = random_bytes(std::min<std::uint64_t>(count, file_bytes_max - offset));
    const auto wrote = file_->write(offset, bytes);
    if (!wrote) return note(wrote.error());
    store(offset, bytes, *wrote);
    EXPECT_EQ(file_->size(), model_.size());
  }
  void append() {
    const Bytes bytes = random_bytes(1 + below(page));
    if (model_.size() + bytes.size() > file_bytes_max) return truncate(below(page));
    const auto appended = file_->append(bytes);
    if (!appended) return note(appended.error());
    EXPECT_EQ(appended->offset, model_.size());
    store(model_.size(), bytes, appended->bytes);
  }
  void truncate(std::uint64_t bytes) {
    ASSERT_TRUE(file_->truncate(bytes));
    model_.resize(bytes);
  }
  void flush() {
    int tries = 0;
    for (auto done = file_->flush(); !done; done = file_->flush()) {
      note(done.error());
      ASSERT_LT(++tries, tries_max);
    }
    ASSERT_EQ(difference(disk().synced(), model_), "") << "what flush has promised";
  }
  // Only what was written back is sure to be there after it; so all of it has to be.
  void drop() {
    flush();
    ASSERT_TRUE(file_->drop());
    EXPECT_EQ(file_->size(), model_.size());
  }

  std::uint64_t place_of(std::uint64_t record) const {
    return (record * threads + index_) * record_bytes;
  }
  void write_record(std::uint64_t r) {
    const Bytes bytes = random_bytes(record_bytes);
    int tries = 0;
    for (std::size_t done = 0; done < bytes.size();) {
      const auto wrote = shared_->write(place_of(r) + done, std::span(bytes).subspan(done));
      if (wrote) {
        done += *wrote;
      } else {
        note(wrote.error());
        ASSERT_LT(++tries, tries_max);
      }
    }
    records_[r] = bytes;
  }
  void check_record(std::uint64_t r) {
    const auto known = records_.find(r);
    if (known == records_.end()) return;
    Bytes out(record_bytes);
    std::size_t done = 0;
    int tries = 0;
    while (done < out.size()) {
      const auto got = shared_->read(place_of(r) + done, std::span(out).subspan(done));
      if (!got) {
        note(got.error());
        ASSERT_LT(++tries, tries_max);
        continue;
      }
      ASSERT_GT(*got, 0U);
      done += *got;
    }
    ASSERT_EQ(difference(out, known->second), "") << "record " << r << " of thread " << index_;
  }

  CacheModel& test_;
  const unsigned index_;
  std::mt19937 random_;
  ContentRef file_;
  ContentRef shared_;
  Bytes model_;
  std::map<std::uint64_t, Bytes> records_;
};

// Takes frames from the cache, dirties them, and gives them back.
void CacheModel::make_segments(unsigned seed, const std::atomic<bool>& over) {
  std::mt19937 random(seed);
  for (int i = 0; !over; ++i) {
    const auto pages = static_cast<std::uint32_t>(1 + random() % 20);
    const auto segment = make_segment("s" + std::to_string(i), pages);
    if (!segment) {
      EXPECT_EQ(segment.error().code, Code::exhausted) << segment.error().message();
      continue;
    }
    Bytes content(pages * page);
    EXPECT_TRUE(memory->read(segment->pages.first * page, content));
    EXPECT_EQ(content, Bytes(pages * page)) << "a new segment is zero";
    EXPECT_TRUE(memory->write(segment->pages.first * page, Bytes(pages * page, std::byte{0xff})));
    EXPECT_TRUE(home->give(client, segment->id, 0, pages));
    EXPECT_TRUE(home->close_segment(client, segment->id));
    ++segments;
  }
}

TEST_F(CacheModel, CachedFilesAreFilesWhateverIsReclaimedAndFails) {
  const unsigned seed = test_seed();
  std::cout << "HIVE_TEST_SEED=" << seed << "\n";
  start(48, {.dirty_age_ns = 2 * ns_per_ms, .retry_ns = ns_per_ms, .slow_read_ns = 0,
             .dirty_pages_high = 20});
  std::vector<std::unique_ptr<Worker>> workers;
  for (int t = 0; t < threads; ++t) {
    workers.push_back(std::make_unique<Worker>(*this, t, seed + static_cast<unsigned>(t)));
    disk(1 + static_cast<FileNumber>(t))->fail_at_random(10, seed + static_cast<unsigned>(t));
  }
  std::atomic<bool> over{false};
  std::thread others([&] { make_segments(seed + threads, over); });
  std::vector<std::thread> running;
  for (const auto& worker : workers) running.emplace_back([&worker] { worker->run(); });
  for (std::thread& thread : running) thread.join();
  over = true;
  others.join();
  for (const auto& worker : workers) worker->finish();
  expect_sound();

  for (int op = 0; op < op_count; ++op) {
    std::cout << operation_names[static_cast<std::size_t>(op)] << " "
              << done[static_cast<std::size_t>(op)] << ", ";
    EXPECT_GT(done[static_cast<std::size_t>(op)], 100U);
  }
  const auto counts = cache->counts();
  std::cout << "segments " << segments << ", evicted " << counts.evicted << ", written back "
            << counts.written_back << ", failures " << counts.failures << ", errors told "
            << errors << "\n";
  EXPECT_GT(segments, 10U);
  EXPECT_GT(counts.evicted, 1000U);
  EXPECT_GT(counts.failures, 10U);
  workers.clear();
}

}  // namespace
}  // namespace hive::cell::test
