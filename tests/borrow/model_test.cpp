// Random reads, writes, truncations and flushes of several threads on files that do not fit their
// node, against files in plain memory, while lenders ask for their frames, take them unasked, die,
// and come back. Only what is dirty in a frame of a lender that died or took it may be lost, and
// only with a word. The seed is printed; HIVE_TEST_SEED replays what each thread does.

#include <array>
#include <iostream>
#include <thread>

#include "borrow_fixture.h"

namespace hive::cell::test {
namespace {

constexpr std::uint32_t frames = 96;
constexpr int workers = 3;
constexpr std::uint32_t file_pages = 50;  // times three: one and a half times the node
constexpr int operations_of_worker = 1500;
constexpr int events_min = 112;

enum Operation { op_read, op_write, op_flush, op_truncate, op_count };
constexpr std::array<const char*, op_count> operation_names = {"read", "write", "flush",
                                                               "truncate"};
enum Event { ev_borrow, ev_recall, ev_take, ev_kill, ev_segment, ev_tick, ev_return, ev_check,
             ev_count };
constexpr std::array<const char*, ev_count> event_names = {
    "borrow", "recall", "take", "kill", "segment", "tick", "return", "check"};

class BorrowModel : public BorrowTest {
 protected:
  class Worker;
  void events(unsigned seed);
  void one(Event event);

  std::array<std::atomic<std::uint64_t>, op_count> done{};
  std::array<std::atomic<std::uint64_t>, ev_count> happened{};
  std::atomic<std::uint64_t> losses{0};
  std::atomic<int> working{workers};
  std::atomic<bool> events_over{false};
  std::mt19937 event_random;
};

// One thread, with a file of its own.
class BorrowModel::Worker {
 public:
  Worker(BorrowModel& test, FileNumber number, unsigned seed)
      : test_(test), number_(number), random_(seed), content_(test.open(number)),
        versions_(file_pages, {Bytes(page)}) {
    EXPECT_TRUE(content_->truncate(file_pages * page));
  }

  void run() {
    for (int i = 0; i < operations_of_worker || !test_.events_over; ++i) {
      if (::testing::Test::HasFailure()) break;
      const unsigned dice = below(100);
      const Operation operation =
          dice < 60 ? op_read : dice < 92 ? op_write : dice < 99 ? op_flush : op_truncate;
      one(operation);
      ++test_.done[operation];
    }
    --test_.working;
  }
  void finish() {
    look_for_loss();
    EXPECT_TRUE(content_->flush());
    if (look_for_loss()) return;
    const Bytes written = test_.disk(number_)->synced();
    for (std::uint32_t p = 0; p < file_pages; ++p) {
      EXPECT_EQ(part(written, p * page, page), versions_[p].back()) << "page " << p;
    }
  }

 private:
  unsigned below(unsigned bound) { return static_cast<unsigned>(random_() % bound); }

  void one(Operation operation) {
    const std::uint32_t p = below(file_pages);
    if (operation == op_read) {
      const std::uint32_t count = 1 + below(std::min<unsigned>(8, file_pages - p));
      for (std::uint32_t i = p; i < p + count; ++i) {
        const Bytes seen = read_all(*content_, i * page, page);
        if (seen == versions_[i].back()) continue;
        EXPECT_TRUE(look_for_loss()) << "a wrong byte in page " << i << " of file " << number_;
        return;
      }
    } else if (operation == op_write) {
      const std::uint32_t count = 1 + below(std::min<unsigned>(4, file_pages - p));
      const Bytes bytes = pattern(count * page, random_());
      EXPECT_TRUE(write_all(*content_, p * page, bytes));
      for (std::uint32_t i = 0; i < count; ++i) {
        versions_[p + i].push_back(part(bytes, i * page, page));
      }
      look_for_loss();
    } else if (operation == op_flush) {
      const auto flushed = content_->flush();
      const bool is_told = flushed || wait_for([this] { return test_.is_lost(number_); });
      EXPECT_TRUE(is_told) << flushed.error().message();
      if (look_for_loss()) return;
      EXPECT_TRUE(flushed);
      for (auto& versions : versions_) versions = {versions.back()};
    } else {
      EXPECT_TRUE(content_->truncate(p * page));
      EXPECT_TRUE(content_->truncate(file_pages * page));
      for (std::uint32_t i = p; i < file_pages; ++i) versions_[i] = {Bytes(page)};
      look_for_loss();
    }
  }

  // If content was lost, each page is what it was at some time since it was flushed last.
  bool look_for_loss() {
    bool was_lost = false;
    while (test_.is_lost(number_)) {
      was_lost = true;
      ++test_.losses;
      {
        const std::scoped_lock lock(test_.lost_mutex);
        test_.lost.erase(number_);
      }
      for (std::uint32_t p = 0; p < file_pages; ++p) {
        const Bytes seen = read_all(*content_, p * page, page);
        EXPECT_NE(std::ranges::find(versions_[p], seen), versions_[p].end())
            << "page " << p << " of file " << number_ << " is none that there ever was";
        versions_[p].push_back(seen);
      }
    }
    return was_lost;
  }

  BorrowModel& test_;
  const FileNumber number_;
  std::mt19937 random_;
  const ContentRef content_;
  std::vector<std::vector<Bytes>> versions_;  // of each page, since the last flush
};

void BorrowModel::one(Event event) {
  const CellId cell = event_random() % 2 == 0 ? first_lender : second_lender;
  if (event == ev_borrow) {
    (void)borrowed->borrow(16 + event_random() % 48);
  } else if (event == ev_recall || event == ev_take) {
    recall(cell, event == ev_recall);
  } else if (event == ev_kill) {
    restart_lender(cell);
  } else if (event == ev_segment) {
    // Of this cell: the cache has fewer frames for a while.
    const std::string name = "s";
    const auto made = make_segment(name, 1 + event_random() % (frames / 2));
    if (made) {
      EXPECT_TRUE(home->destroy_segment(client, made->id));
      EXPECT_TRUE(home->close_segment(client, made->id));
    }
  } else if (event == ev_tick) {
    borrowed->on_tick();
  } else if (event == ev_return) {
    borrowed->return_spare();
  } else {
    expect_sound();
    const auto sound = doors->home(cell).check_frames().sound;
    EXPECT_TRUE(sound) << sound.error().message();
  }
  ++happened[event];
}

// In between the workers have time to borrow something anew.
void BorrowModel::events(unsigned seed) {
  event_random.seed(seed);
  for (int i = 0; working > 0; ++i) {
    if (i >= events_min) events_over = true;
    if (HasFailure()) events_over = true;
    const std::uint64_t before = done[op_read] + done[op_write];
    while (working > 0 && done[op_read] + done[op_write] < before + 20) std::this_thread::yield();
    // A loan goes before each of the others.
    one(i % 2 == 0 ? ev_borrow : static_cast<Event>(1 + i / 2 % (ev_count - 1)));
  }
}

TEST_F(BorrowModel, LendersThatAskTakeAndDieCostNothingThatIsNotTold) {
  const unsigned seed = test_seed();
  std::cout << "HIVE_TEST_SEED=" << seed << "\n";
  pause_ns = 0;
  start_cells(frames, 2, short_recall_ns, 100 * ns_per_ms);
  std::vector<std::unique_ptr<Worker>> made;
  for (int i = 0; i < workers; ++i) {
    made.push_back(std::make_unique<Worker>(*this, 10 + i, seed + static_cast<unsigned>(i)));
  }
  std::vector<std::thread> threads;
  for (auto& worker : made) threads.emplace_back([&worker] { worker->run(); });
  events(seed + workers);
  for (std::thread& thread : threads) thread.join();
  for (auto& worker : made) worker->finish();
  for (int i = 0; i < op_count; ++i) {
    std::cout << operation_names[static_cast<std::size_t>(i)] << " " << done[i] << ", ";
    EXPECT_GT(done[i], 10U);
  }
  for (int i = 0; i < ev_count; ++i) {
    std::cout << event_names[static_cast<std::size_t>(i)] << " " << happened[i] << ", ";
    EXPECT_GE(happened[i], static_cast<std::uint64_t>(events_min / 2 / (ev_count - 1)));
  }
  std::cout << "loans " << borrowed->counts().loans << ", frames lost "
            << borrowed->counts().lost << ", losses " << losses << "\n";
  EXPECT_GT(borrowed->counts().loans, 0U);
}

}  // namespace
}  // namespace hive::cell::test
