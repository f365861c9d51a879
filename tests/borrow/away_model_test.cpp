// Random loads and stores of several tasks whose memory does not fit their node, against plain
// arrays, while lenders ask for their frames, take them unasked, die, and come back, and segments
// want room. Only what was away may be lost, and only with a word. The seed is printed;
// HIVE_TEST_SEED replays what each task does.

#include <array>
#include <iostream>
#include <random>

#include "away_fixture.h"
#include "test_seed.h"

namespace hive::cell::test {
namespace {

constexpr int tasks = 3;
constexpr std::uint64_t task_pages = 150;
constexpr int operations_of_task = 4000;
constexpr int events_min = 80;

enum Event { ev_recall, ev_take, ev_kill, ev_segment, ev_tick, ev_borrow, ev_check, ev_count };

class AwayModel : public AwayTest {
 protected:
  void task(std::uint64_t number, unsigned seed);
  void events(unsigned seed);
  void one(Event event, std::mt19937& random);

  std::atomic<std::uint64_t> done{0};
  std::atomic<std::uint64_t> lost{0};
  std::atomic<std::uint64_t> full{0};
  std::atomic<std::uint64_t> remaps{0};
  std::atomic<int> working{tasks};
  std::atomic<bool> events_over{false};
  std::array<int, ev_count> happened{};
};

void AwayModel::task(std::uint64_t number, unsigned seed) {
  std::mt19937 random(seed);
  auto mine = std::make_unique<Memory>(*this, task_pages, number);
  std::vector<std::uint64_t> model(task_pages, 0);
  std::vector<bool> is_lost(task_pages, false);
  const auto forget = [&] {
    std::fill(model.begin(), model.end(), 0);
    std::fill(is_lost.begin(), is_lost.end(), false);
    ++remaps;
  };
  for (int i = 0; (i < operations_of_task || !events_over) && !HasFailure(); ++i, ++done) {
    const unsigned dice = static_cast<unsigned>(random() % 4000);
    // Runs of pages, as programs do, and single ones.
    const std::uint64_t p = random() % task_pages;
    if (dice < 2) {
      mine->unmap();
      mine->map(task_pages);
      forget();
      continue;
    }
    if (dice < 4) {
      mine->die();
      mine = std::make_unique<Memory>(*this, task_pages, number);
      forget();
      continue;
    }
    const std::uint64_t value = random() | 1;
    const bool stores = dice % 2 == 0;
    const auto loaded = stores ? Result<std::uint64_t>(value) : mine->load(p);
    const auto stored = stores ? mine->store(p, value) : Result<void>();
    const Error* error = !loaded ? &loaded.error() : !stored ? &stored.error() : nullptr;
    if (error == nullptr) {
      EXPECT_FALSE(is_lost[p]) << "a lost page is there again";
      if (stores) model[p] = value;
      EXPECT_TRUE(stores || *loaded == model[p]) << "page " << p << " of task " << number;
    } else if (error->code == Code::lost) {
      if (!is_lost[p]) ++lost;
      is_lost[p] = true;
    } else {
      EXPECT_EQ(error->code, Code::exhausted) << error->message();
      ++full;
    }
  }
  if (!HasFailure()) mine->die();
  --working;
}

void AwayModel::one(Event event, std::mt19937& random) {
  const CellId cell = random() % 2 == 0 ? first_lender : second_lender;
  if (event == ev_recall || event == ev_take) {
    recall(cell, event == ev_recall);
  } else if (event == ev_kill) {
    restart_lender(cell);
  } else if (event == ev_segment) {
    const TestClient client = attach(self, 99);
    (void)home->create_segment(client.id, "s", (1 + random() % (pages / 4)) * page, false);
    kill(client);
  } else if (event == ev_tick) {
    away->give_up_idle({pages, pages});
    borrowed->on_tick();
  } else if (event == ev_borrow) {
    (void)borrowed->borrow(16 + static_cast<std::uint32_t>(random() % 64));
  } else {
    const auto sound = home->check_frames().sound;
    EXPECT_TRUE(sound) << sound.error().message();
    const auto theirs = doors->home(cell).check_frames().sound;
    EXPECT_TRUE(theirs) << theirs.error().message();
  }
  ++happened[event];
}

void AwayModel::events(unsigned seed) {
  std::mt19937 random(seed);
  for (int i = 0; working > 0; ++i) {
    if (i >= events_min || HasFailure()) events_over = true;
    const std::uint64_t before = done;
    while (working > 0 && done < before + 50) std::this_thread::yield();
    one(static_cast<Event>(i % ev_count), random);
  }
}

TEST_F(AwayModel, MemoryIsAsItWasStoredOrSaidToBeLost) {
  const auto seed = static_cast<unsigned>(hive::test::test_seed());
  std::cout << "HIVE_TEST_SEED=" << seed << "\n";
  pause_ns = 0;
  start_cells(2, short_recall_ns);
  std::vector<std::thread> threads;
  for (int i = 0; i < tasks; ++i) {
    threads.emplace_back([this, i, seed] {
      task(static_cast<std::uint64_t>(10 + i), seed + static_cast<unsigned>(i));
    });
  }
  events(seed + tasks);
  for (std::thread& thread : threads) thread.join();
  const AwayPages::Counts counts = away->counts();
  std::cout << done << " operations, " << remaps << " views; moved away " << counts.moved_away
            << ", back " << counts.came_back << ", lost " << counts.lost << " (seen " << lost
            << "), full " << full << ", loans " << borrowed->counts().loans << "\n";
  for (const int times : happened) EXPECT_GE(times, events_min / ev_count);
  EXPECT_GT(counts.moved_away, 100U);
  EXPECT_GT(counts.came_back, 100U);
  EXPECT_EQ(counts.away, 0U) << "all tasks have ended";
  EXPECT_LE(lost, counts.lost);
}

}  // namespace
}  // namespace hive::cell::test
