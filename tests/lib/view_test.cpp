// Reading in place: views that know when they are no longer good, and blocks in which a bus error
// is an error value.
#include <hive/hive.h>

#include <csignal>
#include <thread>

#include "fake_machine.h"

namespace hive::test {
namespace {

class ViewTest : public ::testing::Test {
 protected:
  ViewTest()
      : machine(2),
        session(std::move(*hive::attach({.cell = 0}))),
        segment(std::move(*session.create("s", 8 * page_size, {.home = 1}))) {}
  // A task that stores to the segment's third page and dies in the middle.
  void tear() {
    Child child([](Child& self) {
      auto mine = hive::attach({.cell = 0});
      auto same = mine->open("s");
      auto window = same->write(2 * page_size, 8);
      if (!window) return 1;
      *window->at<volatile int>(0) = 1;
      self.tell();
      self.hear();
      return 0;
    });
    ASSERT_TRUE(child.hear());
    child.kill();
    ASSERT_TRUE(wait_until([&] {
      const auto read = segment.read_as<int>(2 * page_size);
      return !read && read.error().code == Code::lost;
    }));
  }
  FakeMachine machine;
  Session session;
  Segment segment;
};

TEST_F(ViewTest, ShowsWhatIsThereAndStaysValidMeanwhile) {
  ASSERT_TRUE(segment.put_as(page_size, 17));
  const auto seen = view<int>(segment, page_size, 3);
  ASSERT_TRUE(seen) << seen.error().message();
  EXPECT_EQ(**seen, 17);
  EXPECT_EQ(seen->size(), 3U);
  EXPECT_TRUE(seen->valid());
  EXPECT_EQ(view<int>(segment, 2).error().code, Code::bad_argument);
  EXPECT_EQ(view<int>(segment, 8 * page_size).error().code, Code::bad_argument);
}

TEST_F(ViewTest, IsNoLongerValidOnceAPageIsTorn) {
  const auto seen = view<int>(segment, 0);
  ASSERT_TRUE(seen);
  tear();
  EXPECT_FALSE(seen->valid());
  EXPECT_TRUE(view<int>(segment, 0));
  EXPECT_EQ(view<int>(segment, 2 * page_size).error().code, Code::lost);
}

TEST_F(ViewTest, AGuardedLoadOfATornPageIsAnError) {
  tear();
  int sum = 0;
  bool reached = false;
  const auto read = guarded([&] {
    sum += *const_cast<const volatile int*>(segment.at<int>(0));
    sum += *const_cast<const volatile int*>(segment.at<int>(2 * page_size));
    reached = true;
  });
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::lost) << read.error().message();
  EXPECT_EQ(read.error().lost_range.offset, 2 * page_size);
  EXPECT_FALSE(reached);
  EXPECT_TRUE(guarded([] {}));  // and again
}

TEST_F(ViewTest, AGuardedLoadAfterTheHomeFailedIsAnError) {
  ASSERT_TRUE(segment.touch(0, page_size));
  const auto seen = view<int>(segment, 0);
  machine.ask(1, "fail");
  machine.tell_down(0, 1);
  const auto read =
      guarded([&] { (void)*const_cast<const volatile int*>(segment.at<int>(4 * page_size)); });
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::cell_down) << read.error().message();
  EXPECT_FALSE(seen->valid());
}

TEST_F(ViewTest, AGuardedStrayStoreIsRefused) {
  const auto stored = guarded([&] { *const_cast<volatile int*>(segment.at<int>(0)) = 3; });
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().code, Code::refused);
}

TEST_F(ViewTest, GuardsNestAndEachThreadHasItsOwn) {
  tear();
  const auto load = [&] {
    (void)*const_cast<const volatile int*>(segment.at<int>(2 * page_size));
  };
  bool went_on = false;
  const auto outer = guarded([&] {
    const auto inner = guarded(load);
    if (!inner) went_on = true;
  });
  EXPECT_TRUE(outer);
  EXPECT_TRUE(went_on);
  std::thread other([&] { EXPECT_EQ(guarded(load).error().code, Code::lost); });
  other.join();
}

}  // namespace
}  // namespace hive::test
