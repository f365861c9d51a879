// What a task is told through its descriptor. (What whole machines tell is in tests/system.)
#include <hive/hive.h>

#include <poll.h>

#include "fake_machine.h"

namespace hive::test {
namespace {

bool is_readable(int descriptor, int timeout_ms) {
  pollfd p{descriptor, POLLIN, 0};
  return ::poll(&p, 1, timeout_ms) == 1;
}

TEST(NewsTest, ThereAreNoneAtFirstAndNoneAfterDetaching) {
  FakeMachine machine(2);
  auto session = hive::attach({.cell = 0});
  ASSERT_TRUE(session);
  EXPECT_FALSE(is_readable(session->news_descriptor(), 0));
  EXPECT_FALSE(session->next_news());
}

TEST(NewsTest, TheEndOfAnotherCellsConnectionIsForgottenQuietly) {
  FakeMachine machine(2);
  auto session = hive::attach({.cell = 0});
  ASSERT_TRUE(session);
  auto segment = session->create("s", page_size, {.home = 1});
  ASSERT_TRUE(segment);
  machine.kill(1);
  ASSERT_TRUE(is_readable(session->news_descriptor(), 30000));
  EXPECT_FALSE(session->next_news());
  EXPECT_FALSE(is_readable(session->news_descriptor(), 0));
}

}  // namespace
}  // namespace hive::test
