// What becomes of a mutex and its page when the tasks that have it open die, leave, or reset it,
// also in the middle of each other's calls.
#include "home_fixture.h"

namespace hive::cell::test {
namespace {

class LocksTest : public HomeTest {
 protected:
  LocksTest() {
    a = attach(0, 1);
    b = attach(2, 2);
    s = make(a, "s", 1);
    EXPECT_TRUE(home->open_segment(b.id, "s"));
    lock_of_a = open_mutex(a);
    lock_of_b = open_mutex(b);
  }

  LockView open_mutex(const TestClient& client, const char* name = "m") {
    auto view = home->open_lock(client.id, s.id, proto::LockKind::mutex, name);
    EXPECT_TRUE(view) << view.error().message();
    return view ? *view : LockView{};
  }
  static const proto::LockState& state(const LockView& view) {
    return *reinterpret_cast<const proto::LockState*>(view.state);
  }
  bool is_broken() const { return state(lock_of_a).broken.load() != 0; }
  std::uint64_t word() const { return *a.space->load(lock_of_a.page); }
  void b_takes_it() { ASSERT_TRUE(b.space->store(lock_of_b.page, lock_of_b.token)); }

  TestClient a, b;
  SegmentView s;
  LockView lock_of_a, lock_of_b;
};

TEST_F(LocksTest, TheDeathOfItsOwnerBreaksIt) {
  b_takes_it();
  kill(b);
  EXPECT_TRUE(is_broken());
  ASSERT_TRUE(home->reset_lock(a.id, lock_of_a.object));
  EXPECT_FALSE(is_broken());
  EXPECT_EQ(word(), 0U);
}

TEST_F(LocksTest, TheDeathOfAnotherDoesNot) {
  ASSERT_TRUE(a.space->store(lock_of_a.page, lock_of_a.token));
  const auto generation = state(lock_of_a).generation.load();
  kill(b);
  EXPECT_FALSE(is_broken());
  EXPECT_EQ(word(), lock_of_a.token);
  EXPECT_NE(state(lock_of_a).generation.load(), generation) << "it may have owed a wake";
}

// A process that attached from elsewhere may run on for a while after its cell was lost. What it
// stores to a mutex then would be seen by nobody who could break it.
TEST_F(LocksTest, ATaskOfALostCellStoresToItNoMore) {
  home->on_cell_down(2);
  EXPECT_FALSE(is_broken());
  EXPECT_FALSE(b.space->store(lock_of_b.page, lock_of_b.token));
}

TEST_F(LocksTest, AllTasksOfALostCellStoreToTheirsNoMore) {
  const TestClient c = attach(2, 3);
  ASSERT_TRUE(home->open_segment(c.id, "s"));
  const LockView other = open_mutex(c, "n");
  b_takes_it();
  home->on_cell_down(2);
  EXPECT_TRUE(is_broken());
  EXPECT_FALSE(b.space->store(lock_of_b.page, lock_of_b.token));
  EXPECT_FALSE(c.space->store(other.page, other.token));
}

TEST_F(LocksTest, AnUnlockWhileTheWordIsLookedAtIsNoDeath) {
  const TestClient c = attach(0, 3);
  ASSERT_TRUE(home->open_segment(c.id, "s"));
  (void)open_mutex(c);
  ASSERT_TRUE(a.space->store(lock_of_a.page, lock_of_a.token));
  // The word is read before or after it; either way a lives, and nobody else had it.
  node.on_read([&] { a.space->store(lock_of_a.page, 0); });
  kill(c);
  EXPECT_FALSE(is_broken());
}

TEST_F(LocksTest, TheOwnerWhoLetsGoAndLeavesWhileTheWordIsLookedAtDoesNotBreakIt) {
  const TestClient c = attach(0, 3);
  ASSERT_TRUE(home->open_segment(c.id, "s"));
  (void)open_mutex(c);
  b_takes_it();
  node.on_read([&] {
    b.space->store(lock_of_b.page, 0);
    EXPECT_TRUE(home->close_segment(b.id, s.id));
  });
  kill(c);
  EXPECT_FALSE(is_broken());
}

TEST_F(LocksTest, ADeathInTheMiddleOfAResetBreaksItAgain) {
  b_takes_it();
  kill(b);
  const TestClient c = attach(0, 3);
  ASSERT_TRUE(home->open_segment(c.id, "s"));
  const LockView lock_of_c = open_mutex(c);
  node.on_write([&] {
    // It looked at the mutex before that broke, and takes it as soon as the word is free.
    c.space->store(lock_of_c.page, lock_of_c.token);
    kill(c);
  });
  EXPECT_EQ(code_of(home->reset_lock(a.id, lock_of_a.object)), Code::busy);
  EXPECT_TRUE(is_broken());
  ASSERT_TRUE(home->reset_lock(a.id, lock_of_a.object));
  EXPECT_FALSE(is_broken());
}

TEST_F(LocksTest, ThePageIsNotGivenToOthersWhileItIsBeingReset) {
  b_takes_it();
  kill(b);
  const std::uint32_t page = lock_of_a.page;
  const std::uint64_t taken_back = node.times_taken_back(page);
  node.on_write([&] {
    // The last who had it open leaves, and its page is to be cleaned.
    EXPECT_TRUE(home->close_segment(a.id, s.id));
    home->clean_up();
    EXPECT_GE(home->frames_in(FrameState::cleaning), 1U);
    EXPECT_EQ(node.times_taken_back(page), taken_back);
  });
  EXPECT_EQ(code_of(home->reset_lock(a.id, lock_of_a.object)), Code::not_found);
}

// Whoever is told that the mutex broke may look at once at what it guards.
TEST_F(LocksTest, ItBreaksAfterWhatItsOwnerLeftHalfDoneIsTakenBack) {
  ASSERT_TRUE(open(b, s, 0, 1));
  ASSERT_TRUE(b.space->store(s.pages.first, 77));
  ASSERT_TRUE(load_fault(a, s.pages.first));
  ASSERT_EQ(a.space->load(s.pages.first), 77U);
  b_takes_it();
  node.on_read([&] {  // the home looks at the word of the mutex
    EXPECT_FALSE(is_broken());
    EXPECT_FALSE(a.space->load(s.pages.first)) << "half done, and read without an error";
  });
  kill(b);
  EXPECT_TRUE(is_broken());
}

}  // namespace
}  // namespace hive::cell::test
