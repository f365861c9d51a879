// The invariants of home.h, each with the race that would break it made to happen.

#include <atomic>
#include <future>
#include <thread>

#include "home_fixture.h"
#include "stall.h"

namespace hive::cell::test {
namespace {

class RaceTest : public HomeTest {
 protected:
  RaceTest() {
    a = attach();
    b = attach();
    s = make(a, "s", 32);
    EXPECT_TRUE(home->open_segment(b.id, "s"));
  }
  void stall(const TestClient& client, SpaceCall kind, Stall& at) {
    client.space->on_call([&at, kind](SpaceCall call, PageRange) {
      if (call == kind) at.enter();
    });
  }
  TestClient a, b;
  SegmentView s;
};

TEST_F(RaceTest, AGiveInFlightNeverShowsARefilledPage) {
  Stall stalled;
  stall(b, SpaceCall::give, stalled);
  ASSERT_TRUE(open(a, s, 3, 2));
  auto fault = std::async(std::launch::async, [&] { return load_fault(b, 3); });
  stalled.wait_until_entered();
  kill(a);  // taken back under the give; does not wait for it
  EXPECT_EQ(home->root()->pages_torn, 2u);
  const auto busy = reset(b, s, 3, 2);  // waits for it, in vain
  EXPECT_EQ(code_of(busy), Code::busy);
  EXPECT_STREQ(busy.error().cause, proto::cause::pages_in_use);
  stalled.release();
  EXPECT_EQ(code_of(fault.get()), Code::lost);
  EXPECT_FALSE(b.space->load(3));
  EXPECT_TRUE(b.space->load(5)) << "beside the torn range all went on";
  b.space->on_call(nullptr);
  EXPECT_TRUE(reset(b, s, 3, 2));
  EXPECT_TRUE(load_fault(b, 3));
  EXPECT_EQ(b.space->load(3), 0u);
}

TEST_F(RaceTest, AResetWaitsForAGiveThatIsSoonOver) {
  ASSERT_TRUE(open(a, s, 3, 2));
  Stall stalled;
  stall(b, SpaceCall::give, stalled);
  auto fault = std::async(std::launch::async, [&] { return load_fault(b, 0); });
  stalled.wait_until_entered();
  kill(a);
  const auto c = attach();
  ASSERT_TRUE(home->open_segment(c.id, "s"));
  auto resetting = std::async(std::launch::async, [&] { return reset(c, s, 0, 8); });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  stalled.release();
  EXPECT_TRUE(resetting.get());
  EXPECT_TRUE(fault.get());
}

TEST_F(RaceTest, GivesBesideATornRangeDoNotHoldUpItsReset) {
  ASSERT_TRUE(open(a, s, 3, 2));
  kill(a);
  Stall stalled;
  stall(b, SpaceCall::give, stalled);
  auto fault = std::async(std::launch::async, [&] { return load_fault(b, 0); });
  stalled.wait_until_entered();
  const auto c = attach();
  ASSERT_TRUE(home->open_segment(c.id, "s"));
  EXPECT_TRUE(reset(c, s, 0, 8));
  stalled.release();
  EXPECT_TRUE(fault.get());
}

TEST_F(RaceTest, AWindowWhoseClientDiesWhileItOpensIsTornOnce) {
  Stall stalled;
  stall(a, SpaceCall::open, stalled);
  auto opening = std::async(std::launch::async, [&] { return open(a, s, 1, 3); });
  stalled.wait_until_entered();
  home->remove_client(a.id, Leave::died);
  EXPECT_EQ(home->root()->pages_torn, 3u);
  stalled.release();
  EXPECT_EQ(code_of(opening.get()), Code::lost);
  EXPECT_FALSE(a.space->store(1, 1)) << "the open must not have let stores through";
  EXPECT_EQ(node.times_taken_back(1), 1u);
  EXPECT_EQ(home->root()->pages_open_others, 0u);
  EXPECT_TRUE(reset(b, s, 0, 32));
  EXPECT_TRUE(open(b, s, 0, 32));
}

TEST_F(RaceTest, AProcessThatIsGoneWhileItOpensTearsItsWindow) {
  Stall stalled;
  stall(a, SpaceCall::open, stalled);
  auto opening = std::async(std::launch::async, [&] { return open(a, s, 1, 3); });
  stalled.wait_until_entered();
  a.space->die();
  stalled.release();
  EXPECT_EQ(code_of(opening.get()), Code::not_found);
  EXPECT_EQ(home->root()->pages_torn, 3u);
  home->remove_client(a.id, Leave::died);
  EXPECT_EQ(node.times_taken_back(1), 1u);
}

TEST_F(RaceTest, AClientThatDiesWhileItCommitsHasLostItsWindow) {
  const auto window = open(a, s, 1, 3);
  Stall stalled;
  stall(a, SpaceCall::close, stalled);
  auto committing =
      std::async(std::launch::async, [&] { return home->commit_window(a.id, *window); });
  stalled.wait_until_entered();
  home->remove_client(a.id, Leave::died);
  stalled.release();
  EXPECT_EQ(code_of(committing.get()), Code::lost);
  EXPECT_EQ(code_of(load_fault(b, 1)), Code::lost);
  EXPECT_EQ(node.times_taken_back(1), 1u);
}

TEST_F(RaceTest, ACommitThatWaitsFindsItsWindowClosedByAnotherThread) {
  const auto window = open(a, s, 1, 3);
  Stall stalled;
  stall(a, SpaceCall::open, stalled);
  auto fault = std::async(std::launch::async, [&] { return load_fault(a, 1); });  // opens anew
  stalled.wait_until_entered();
  auto committing =
      std::async(std::launch::async, [&] { return home->commit_window(a.id, *window); });
  EXPECT_TRUE(home->close_segment(a.id, s.id));
  EXPECT_FALSE(committing.get());  // it waits as long as a call may take, and then looks again
  stalled.release();
  EXPECT_FALSE(fault.get());
}

TEST_F(RaceTest, AnExclusiveWindowWaitsForAStoreUnderWay) {
  Stall stalled;
  node.on_write([&] { stalled.enter(); });
  auto storing = std::async(std::launch::async, [&] {
    const std::uint64_t value = 77;
    return home->store(a.id, s.id, 2 * page, std::as_bytes(std::span(&value, 1)));
  });
  stalled.wait_until_entered();
  EXPECT_EQ(code_of(open(b, s, 1, 3)), Code::busy);
  EXPECT_TRUE(open(b, s, 8, 2));  // beside it
  stalled.release();
  EXPECT_TRUE(storing.get());
  EXPECT_TRUE(open(b, s, 1, 3));
  EXPECT_EQ(b.space->load(2), 77u);
}

TEST_F(RaceTest, ACommitOfAProcessThatIsGoneHoldsIfItCameFirst) {
  const auto window = open(a, s, 1, 3);
  ASSERT_TRUE(a.space->store(1, 5));
  a.space->die();
  EXPECT_TRUE(home->commit_window(a.id, *window));
  home->remove_client(a.id, Leave::died);
  ASSERT_TRUE(load_fault(b, 1));
  EXPECT_EQ(b.space->load(1), 5u);
}

TEST_F(RaceTest, ACloseThatLinuxRefusesTearsTheWindow) {
  const auto window = open(a, s, 1, 3);
  a.space->refuse(SpaceCall::close);
  EXPECT_EQ(code_of(home->commit_window(a.id, *window)), Code::lost);
  EXPECT_FALSE(a.space->store(1, 1));
  EXPECT_EQ(code_of(load_fault(b, 1)), Code::lost);
}

TEST_F(RaceTest, AnOpenThatLinuxRefusesLeavesNothingOpen) {
  a.space->refuse(SpaceCall::open);
  const auto refused = open(a, s, 1, 3);
  EXPECT_EQ(code_of(refused), Code::host);
  EXPECT_EQ(refused.error().sys_errno, 12);
  a.space->refuse(std::nullopt);
  EXPECT_TRUE(open(b, s, 0, 8));
  EXPECT_EQ(home->root()->pages_torn, 0u);
}

TEST_F(RaceTest, ASharedWindowThatOpensWhileAnotherIsTornIsLost) {
  ASSERT_TRUE(open(a, s, 1, 3, WindowMode::shared));
  Stall stalled;
  stall(b, SpaceCall::open, stalled);
  auto opening =
      std::async(std::launch::async, [&] { return open(b, s, 0, 8, WindowMode::shared); });
  stalled.wait_until_entered();
  kill(a);
  stalled.release();
  EXPECT_EQ(code_of(opening.get()), Code::lost);
  b.space->on_call(nullptr);
  for (std::uint32_t p = 0; p < 8; ++p) EXPECT_FALSE(b.space->store(p, 1)) << p;
  EXPECT_TRUE(reset(b, s, 0, 8)) << "no window is left there";
}

TEST_F(RaceTest, NoResetGetsInBetweenTheTornMarkAndTheTakingBack) {
  ASSERT_TRUE(open(a, s, 1, 3));
  std::optional<Code> outcome;
  node.on_take_back([&] { outcome = code_of(reset(b, s, 0, 8)); });
  home->remove_client(a.id, Leave::died);
  EXPECT_EQ(outcome, Code::busy);
  EXPECT_TRUE(reset(b, s, 0, 8));
}

TEST_F(RaceTest, NobodyIsToldOfALossBeforeThePagesAreTakenBack) {
  ASSERT_TRUE(open(a, s, 1, 3));
  std::optional<Code> outcome;
  node.on_take_back([&] { outcome = code_of(open(b, s, 0, 8)); });
  home->remove_client(a.id, Leave::died);
  EXPECT_EQ(outcome, Code::busy);
  EXPECT_EQ(code_of(open(b, s, 0, 8)), Code::lost);
}

TEST_F(RaceTest, FreedPagesWaitForAGiveInFlight) {
  const auto c = attach();
  const auto big = make(c, "big", pages - 32);
  Stall stalled;
  stall(c, SpaceCall::give, stalled);
  auto fault = std::async(std::launch::async, [&] { return load_fault(c, big.pages.first); });
  stalled.wait_until_entered();
  ASSERT_TRUE(home->close_segment(c.id, big.id));
  home->clean_up();
  EXPECT_TRUE(home->needs_clean_up()) << "cleaned under a call in flight";
  auto making = std::async(std::launch::async, [&] {
    return home->create_segment(b.id, "next", (pages - 32) * page, false);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  stalled.release();
  fault.wait();
  ASSERT_TRUE(making.get()) << "it waits until the give is over";
  EXPECT_FALSE(c.space->load(big.pages.first));
}

TEST_F(RaceTest, CallsOfOneClientOnTheSamePagesComeOneAfterTheOther) {
  Stall stalled;
  stall(b, SpaceCall::give, stalled);
  auto first = std::async(std::launch::async, [&] { return load_fault(b, 0); });
  stalled.wait_until_entered();
  auto second = std::async(std::launch::async, [&] { return load_fault(b, 1); });
  auto third = std::async(std::launch::async, [&] { return open(b, s, 0, 2); });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  b.space->on_call(nullptr);
  stalled.release();
  EXPECT_TRUE(first.get());
  EXPECT_TRUE(second.get());
  EXPECT_TRUE(third.get());  // the fixture would have noted an overlap
}

TEST_F(RaceTest, ACallThatIsKeptForLongMakesOthersOfItsClientBusyAndNobodyElse) {
  Stall stalled;
  stall(b, SpaceCall::give, stalled);
  auto first = std::async(std::launch::async, [&] { return load_fault(b, 0); });
  stalled.wait_until_entered();
  EXPECT_TRUE(load_fault(a, 0));
  EXPECT_TRUE(open(a, s, 0, 4));
  EXPECT_EQ(code_of(load_fault(b, 1)), Code::busy);
  stalled.release();
  EXPECT_TRUE(first.get());
}

}  // namespace
}  // namespace hive::cell::test
