// Tasks that write, commit, abort, reset and are killed at random moments, against a model: a
// group of pages that was only ever written whole is at any time what was last committed, or lost;
// never a mixture, and never something that somebody wrote and did not commit.

#include <atomic>
#include <random>
#include <thread>

#include "home_fixture.h"
#include "test_seed.h"

namespace hive::cell::test {
namespace {

constexpr std::uint32_t groups = 12;
constexpr std::uint32_t group_pages = 5;  // so that groups and blocks of 64 KiB do not line up
constexpr int actors = 6;
constexpr std::uint64_t rounds_of_actor = 4000;

// What is known of a stamp. A task that was killed may note something late, so nothing is
// concluded from what one noted last: only from commits that were asked for, and from those that
// succeeded.
enum class Stamp : std::uint8_t {
  written,     // nobody but its writer may ever see it
  attempted,   // its commit was asked for: it may be in the group
  superseded,  // a later commit over it has succeeded: it must not come back
};

class ModelTest : public HomeTest {
 protected:
  // A task that may be killed from outside at any moment.
  struct Actor {
    std::mutex mutex;
    TestClient client;  // guarded by mutex; the actor copies it
    std::atomic<std::uint64_t> deaths{0};
  };

  TestClient enter(CellId cell) {
    const TestClient client = attach(cell);
    EXPECT_TRUE(home->open_segment(client.id, "model"));
    return client;
  }
  void work(Actor& actor, CellId cell, unsigned actor_seed);
  bool write_group(const TestClient& client, std::uint32_t g, std::uint64_t stamp, bool abort);
  std::uint64_t check_group(const TestClient& client, std::uint32_t g);
  void kill_someone(std::mt19937& random, std::vector<std::unique_ptr<Actor>>& all);

  std::vector<std::atomic<Stamp>> stamps{actors * rounds_of_actor + 1};
  SegmentView segment;
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> commits{0}, losses{0}, next_stamp{1};
};

// With the exclusive window on it, so nobody changes it. Returns what is in it; 0 if that is
// nothing, or when the client was killed meanwhile.
std::uint64_t ModelTest::check_group(const TestClient& client, std::uint32_t g) {
  const std::uint32_t first = segment.pages.first + g * group_pages;
  std::optional<std::uint64_t> whole;
  for (std::uint32_t p = first; p < first + group_pages; ++p) {
    const auto value = client.space->load(p);
    if (!value) return 0;
    if (!whole) whole = value;
    EXPECT_EQ(*value, *whole) << "a mixture in group " << g;
  }
  if (*whole != 0) {
    EXPECT_EQ(stamps[*whole].load(), Stamp::attempted) << "group " << g << " holds " << *whole;
  }
  return *whole;
}

// False when the client is dead and a new one is needed.
bool ModelTest::write_group(const TestClient& client, std::uint32_t g, std::uint64_t stamp,
                            bool abort) {
  const std::uint32_t offset = g * group_pages;
  const auto window = open(client, segment, offset, group_pages);
  if (!window) {
    const Code code = window.error().code;
    if (code == Code::not_found) return false;
    if (code == Code::busy) return true;
    EXPECT_EQ(code, Code::lost) << window.error().message();
    losses.fetch_add(1);
    const auto done = reset(client, segment, offset, group_pages);
    if (!done && done.error().code == Code::not_found) return false;
    EXPECT_TRUE(done || done.error().code == Code::busy) << done.error().message();
    return true;
  }
  const std::uint64_t before = check_group(client, g);
  const std::uint32_t first = segment.pages.first + offset;
  for (std::uint32_t p = first; p < first + group_pages; ++p) {
    if (!client.space->store(p, stamp)) return false;
    if (stamp % 3 == 0) std::this_thread::yield();
  }
  if (abort) return home->abort_window(client.id, *window).has_value();
  stamps[stamp].store(Stamp::attempted);
  const auto done = home->commit_window(client.id, *window);
  if (!done) return false;
  if (before != 0) stamps[before].store(Stamp::superseded);
  commits.fetch_add(1);
  return true;
}

void ModelTest::work(Actor& actor, CellId cell, unsigned actor_seed) {
  std::mt19937 random(actor_seed);
  for (std::uint64_t round = 0; round < rounds_of_actor && !HasFailure(); ++round) {
    TestClient client;
    {
      const std::scoped_lock lock(actor.mutex);
      client = actor.client;
    }
    const std::uint32_t g = random() % groups;
    const std::uint32_t first = segment.pages.first + g * group_pages;
    if (random() % 3 == 0) (void)load_fault(client, first + random() % group_pages).has_value();
    const bool alive = write_group(client, g, next_stamp.fetch_add(1), random() % 16 == 0);
    if (alive) continue;
    const std::scoped_lock lock(actor.mutex);
    if (actor.client.id == client.id) kill(client);  // lost its window some other way
    actor.client = enter(cell);
  }
}

void ModelTest::kill_someone(std::mt19937& random, std::vector<std::unique_ptr<Actor>>& all) {
  if (random() % 8 == 0) {
    const CellId cell = static_cast<CellId>(2 + random() % 2);
    for (const auto& actor : all) {
      const std::scoped_lock lock(actor->mutex);
      // The power of the cell is switched off before anybody hears of it.
      if (static_cast<CellId>(2 + (&actor - all.data()) % 2) == cell) actor->client.space->die();
    }
    home->on_cell_down(cell);
    return;
  }
  Actor& actor = *all[random() % all.size()];
  const std::scoped_lock lock(actor.mutex);
  kill(actor.client);
  actor.deaths.fetch_add(1);
}

TEST_F(ModelTest, EveryPageIsWhatWasCommittedLastOrLost) {
  const auto chosen = static_cast<unsigned>(hive::test::test_seed());
  RecordProperty("seed", std::to_string(chosen));
  SCOPED_TRACE("HIVE_TEST_SEED=" + std::to_string(chosen));
  std::mt19937 random(chosen);
  const auto keeper = attach(0);
  segment = make(keeper, "model", groups * group_pages, true);
  std::vector<std::unique_ptr<Actor>> all;
  for (int i = 0; i < actors; ++i) {
    all.push_back(std::make_unique<Actor>());
    all.back()->client = enter(static_cast<CellId>(2 + i % 2));
  }
  std::vector<std::thread> threads;
  std::atomic<int> working{actors};
  for (int i = 0; i < actors; ++i) {
    threads.emplace_back([this, &all, &working, i, actor_seed = static_cast<unsigned>(random())] {
      work(*all[static_cast<std::size_t>(i)], static_cast<CellId>(2 + i % 2), actor_seed);
      --working;
    });
  }
  while (working.load() > 0) {
    kill_someone(random, all);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 500));
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& actor : all) kill(actor->client);

  const auto last = enter(0);
  for (std::uint32_t g = 0; g < groups; ++g) {
    const auto window = open(last, segment, g * group_pages, group_pages);
    if (!window) {
      EXPECT_EQ(code_of(window), Code::lost);
      continue;
    }
    check_group(last, g);
    EXPECT_TRUE(home->commit_window(last.id, *window));
  }
  EXPECT_GT(commits.load(), 0u);
  EXPECT_EQ(home->root()->pages_open_others, 0u);
  EXPECT_TRUE(home->reset(last.id, segment.id, 0, groups * group_pages));
  EXPECT_EQ(home->root()->pages_torn, 0u);
  std::printf("seed %u: %llu commits, %llu losses\n", chosen,
              static_cast<unsigned long long>(commits.load()),
              static_cast<unsigned long long>(losses.load()));
}

}  // namespace
}  // namespace hive::cell::test
