#include "home_fixture.h"

namespace hive::cell::test {
namespace {

using proto::SyncKind;

constexpr std::uint64_t soon = 1'000'000'000;  // a fake clock stands at 1000

std::uint64_t frozen_clock() { return 1000; }

class SyncTest : public HomeTest {
 protected:
  SyncTest() {
    Home::Parts parts;
    parts.self = self;
    parts.layout = layout;
    parts.heap = &memory.heap();
    parts.memory = &node;
    parts.now = &frozen_clock;
    home = *Home::create(parts);
    a = attach();
    b = attach();
    c = attach();
    s = make(a, "s", 1);
    EXPECT_TRUE(home->open_segment(b.id, "s"));
    EXPECT_TRUE(home->open_segment(c.id, "s"));
  }
  // How a call that may wait ended.
  struct Outcome {
    int times = 0;
    Result<std::uint64_t> result = 0;
    bool waits() const { return times == 0; }
  };
  std::shared_ptr<Outcome> arrive(const TestClient& client, ObjectId object,
                                  std::uint64_t deadline = soon) {
    auto outcome = std::make_shared<Outcome>();
    home->barrier_arrive(client.id, object, deadline, note(outcome));
    return outcome;
  }
  std::shared_ptr<Outcome> next(const TestClient& client, ObjectId object, std::uint64_t item,
                                std::uint64_t deadline = soon) {
    auto outcome = std::make_shared<Outcome>();
    home->queue_next(client.id, object, item, deadline, note(outcome));
    return outcome;
  }
  std::shared_ptr<Outcome> take(const TestClient& client, ObjectId object,
                                std::uint64_t deadline = soon) {
    auto outcome = std::make_shared<Outcome>();
    home->queue_take(client.id, object, deadline, note(outcome));
    return outcome;
  }
  ObjectId object(SyncKind kind, const char* name, std::uint64_t parameter) {
    ObjectId id = 0;
    for (const auto& client : {a, b, c}) {
      const auto opened = home->open_object(client.id, s.id, kind, name, parameter);
      EXPECT_TRUE(opened);
      id = opened ? *opened : 0;
    }
    return id;
  }
  static SyncDone note(const std::shared_ptr<Outcome>& outcome) {
    return [outcome](const Result<std::uint64_t>& r) {
      ++outcome->times;
      outcome->result = r;
    };
  }

  TestClient a, b, c;
  SegmentView s;
};

TEST_F(SyncTest, ACounterOutlivesItsUsers) {
  const ObjectId n = object(SyncKind::counter, "n", 0);
  EXPECT_EQ(*home->counter_add(a.id, n, 5), 0u);
  kill(a);
  EXPECT_EQ(*home->counter_add(b.id, n, 1), 5u);
  EXPECT_EQ(*home->counter_add(b.id, n, 0), 6u);
  EXPECT_EQ(code_of(home->counter_add(a.id, n, 1)), Code::not_found);
}

TEST_F(SyncTest, ObjectsAreNamedInsideTheirSegmentAndKeepTheirParameters) {
  const ObjectId n = object(SyncKind::counter, "n", 0);
  const auto other = make(a, "other", 1);
  EXPECT_NE(*home->open_object(a.id, other.id, SyncKind::counter, "n", 0), n);
  const auto differs = home->open_object(a.id, s.id, SyncKind::queue, "n", 3);
  EXPECT_EQ(code_of(differs), Code::refused);
  EXPECT_STREQ(differs.error().cause, proto::cause::object_differs);
  EXPECT_EQ(code_of(home->open_object(a.id, s.id, SyncKind::barrier, "b", 0)), Code::bad_argument);
  EXPECT_EQ(code_of(home->open_object(a.id, s.id, SyncKind::barrier, "", 2)), Code::bad_argument);
  EXPECT_EQ(code_of(home->open_object(a.id, s.id, SyncKind::counter, std::string(32, 'x'), 0)),
            Code::bad_argument);
  EXPECT_EQ(code_of(home->open_object(a.id, 999, SyncKind::counter, "x", 0)), Code::not_found);
  const auto stranger = attach();
  EXPECT_EQ(code_of(home->counter_add(stranger.id, n, 1)), Code::not_found);
  EXPECT_EQ(code_of(home->queue_done(a.id, n, 1)), Code::not_found) << "it is no queue";
  EXPECT_EQ(code_of(home->queue_progress(a.id, n)), Code::not_found);
  const auto wrong = arrive(a, n);
  EXPECT_EQ(code_of(wrong->result), Code::not_found);
}

TEST_F(SyncTest, ABarrierLetsEverybodyGoWhenTheLastArrives) {
  const ObjectId id = object(SyncKind::barrier, "b", 3);
  for (int round = 0; round < 3; ++round) {
    const auto first = arrive(a, id);
    const auto second = arrive(b, id);
    EXPECT_TRUE(first->waits() && second->waits());
    EXPECT_EQ(code_of(home->barrier_reset(a.id, id, 2)), Code::busy);
    const auto third = arrive(c, id);
    for (const auto& outcome : {first, second, third}) {
      EXPECT_EQ(outcome->times, 1);
      EXPECT_TRUE(outcome->result);
    }
  }
}

TEST_F(SyncTest, ADeathBreaksABarrierUntilItIsReset) {
  const ObjectId id = object(SyncKind::barrier, "b", 3);
  const auto waiting = arrive(a, id);
  const auto dying = arrive(b, id);
  kill(b);
  EXPECT_EQ(dying->times, 1);
  ASSERT_EQ(waiting->times, 1);
  EXPECT_EQ(code_of(waiting->result), Code::lost);
  EXPECT_STREQ(waiting->result.error().cause, proto::cause::barrier_broken);
  EXPECT_EQ(code_of(arrive(c, id)->result), Code::lost);
  EXPECT_EQ(code_of(home->barrier_reset(a.id, id, 0)), Code::bad_argument);
  EXPECT_TRUE(home->barrier_reset(a.id, id, 2));
  const auto again = arrive(a, id);
  EXPECT_TRUE(again->waits());
  EXPECT_TRUE(arrive(c, id)->result);
  EXPECT_TRUE(again->result);
}

TEST_F(SyncTest, ADeathBreaksABarrierThatNobodyWaitsIn) {
  const ObjectId id = object(SyncKind::barrier, "b", 3);
  kill(b);
  EXPECT_EQ(code_of(arrive(a, id)->result), Code::lost);
}

TEST_F(SyncTest, AnOrderlyLeaveBreaksABarrierOnlyUnderThoseWhoWait) {
  const ObjectId quiet = object(SyncKind::barrier, "quiet", 3);
  const ObjectId waited = object(SyncKind::barrier, "waited", 3);
  const auto waiting = arrive(a, waited);
  home->remove_client(b.id, Leave::detached);
  EXPECT_EQ(code_of(waiting->result), Code::lost);
  EXPECT_TRUE(arrive(a, quiet)->waits());
}

TEST_F(SyncTest, ATimeoutBreaksTheBarrierForTheOthers) {
  const ObjectId id = object(SyncKind::barrier, "b", 3);
  const auto patient = arrive(a, id, soon * 2);
  const auto hasty = arrive(b, id, soon);
  home->on_tick(soon - 1);
  EXPECT_TRUE(hasty->waits());
  home->on_tick(soon);
  EXPECT_EQ(code_of(hasty->result), Code::timed_out);
  EXPECT_EQ(code_of(patient->result), Code::lost);
  EXPECT_TRUE(home->barrier_reset(a.id, id, 3));
  EXPECT_EQ(code_of(arrive(a, id, 0)->result), Code::timed_out) << "a deadline that has passed";
}

TEST_F(SyncTest, AQueueHandsEveryItemOutOnce) {
  const ObjectId id = object(SyncKind::queue, "q", 3);
  EXPECT_EQ(*take(a, id)->result, 0u);
  EXPECT_EQ(*take(b, id)->result, 1u);
  EXPECT_EQ(*take(b, id)->result, 2u);
  const auto waiting = take(c, id);
  EXPECT_TRUE(waiting->waits()) << "some may come back";
  EXPECT_EQ(code_of(home->queue_done(a.id, id, 1)), Code::bad_argument);
  EXPECT_EQ(code_of(home->queue_done(a.id, id, 77)), Code::bad_argument);
  EXPECT_TRUE(home->queue_done(a.id, id, 0));
  EXPECT_EQ(code_of(home->queue_done(a.id, id, 0)), Code::bad_argument) << "done already";
  EXPECT_TRUE(home->queue_done(b.id, id, 2));
  EXPECT_TRUE(waiting->waits());
  const auto progress = home->queue_progress(a.id, id);
  EXPECT_EQ(progress->done, 2u);
  EXPECT_EQ(progress->leased, 1u);
  EXPECT_TRUE(home->queue_done(b.id, id, 1));
  ASSERT_EQ(waiting->times, 1);
  EXPECT_EQ(*waiting->result, QueueState::empty);
  EXPECT_EQ(*take(a, id)->result, QueueState::empty);
}

TEST_F(SyncTest, OneCallRetiresAnItemAndLeasesTheNext) {
  const ObjectId id = object(SyncKind::queue, "q", 3);
  EXPECT_EQ(*take(a, id)->result, 0u);
  EXPECT_EQ(*take(b, id)->result, 1u);
  EXPECT_EQ(code_of(next(a, id, 1)->result), Code::bad_argument) << "it is another's";
  EXPECT_EQ(home->queue_progress(a.id, id)->leased, 2u) << "and nothing was leased";
  EXPECT_EQ(*next(a, id, 0)->result, 2u);
  EXPECT_EQ(home->queue_progress(a.id, id)->done, 1u);
  EXPECT_EQ(code_of(next(b, id, 1, 0)->result), Code::timed_out) << "none is free";
  EXPECT_EQ(home->queue_progress(a.id, id)->done, 2u) << "but the last one is retired";
  EXPECT_EQ(code_of(next(b, id, 1)->result), Code::bad_argument);
  const auto waiting = take(b, id);
  EXPECT_EQ(*next(a, id, 2)->result, QueueState::empty);
  EXPECT_EQ(*waiting->result, QueueState::empty);
}

TEST_F(SyncTest, ItemsOfTheDeadComeBackFirst) {
  const ObjectId id = object(SyncKind::queue, "q", 5);
  EXPECT_EQ(*take(a, id)->result, 0u);
  EXPECT_EQ(*take(b, id)->result, 1u);
  EXPECT_EQ(*take(a, id)->result, 2u);
  kill(a);
  EXPECT_EQ(*take(c, id)->result, 0u);
  EXPECT_EQ(*take(c, id)->result, 2u);
  EXPECT_EQ(*take(c, id)->result, 3u);
  EXPECT_EQ(home->queue_progress(b.id, id)->handed_out_again, 2u);
}

TEST_F(SyncTest, ThoseWhoWaitGetWhatADeadClientHad) {
  const ObjectId id = object(SyncKind::queue, "q", 2);
  EXPECT_EQ(*take(a, id)->result, 0u);
  EXPECT_EQ(*take(a, id)->result, 1u);
  const auto first = take(b, id);
  const auto doomed = take(a, id);  // waits for itself, and must not get its own items
  const auto second = take(c, id);
  kill(a);
  EXPECT_EQ(*first->result, 0u);
  EXPECT_EQ(*second->result, 1u);
  EXPECT_EQ(doomed->times, 1);
  EXPECT_FALSE(doomed->result);
}

TEST_F(SyncTest, ClientsOfADeadCellGetNothingFromEachOther) {
  const auto x = attach(2);
  const auto y = attach(2);
  ASSERT_TRUE(home->open_segment(x.id, "s"));
  ASSERT_TRUE(home->open_segment(y.id, "s"));
  const ObjectId id = object(SyncKind::queue, "q", 1);
  ASSERT_TRUE(home->open_object(x.id, s.id, SyncKind::queue, "q", 1));
  ASSERT_TRUE(home->open_object(y.id, s.id, SyncKind::queue, "q", 1));
  EXPECT_EQ(*take(x, id)->result, 0u);
  const auto dying = take(y, id);
  const auto living = take(a, id);
  home->on_cell_down(2);
  EXPECT_FALSE(dying->result);
  ASSERT_EQ(living->times, 1);
  EXPECT_EQ(*living->result, 0u);
  EXPECT_EQ(home->queue_progress(a.id, id)->handed_out_again, 1u);
}

TEST_F(SyncTest, AQueueTimesOutOnlyTheOneWhoWaited) {
  const ObjectId id = object(SyncKind::queue, "q", 1);
  EXPECT_EQ(*take(a, id)->result, 0u);
  const auto hasty = take(b, id, soon);
  const auto patient = take(c, id, soon * 3);
  home->on_tick(soon);
  EXPECT_EQ(code_of(hasty->result), Code::timed_out);
  EXPECT_TRUE(patient->waits());
  EXPECT_TRUE(home->queue_done(a.id, id, 0));
  EXPECT_EQ(*patient->result, QueueState::empty);
}

TEST_F(SyncTest, AnEmptyQueueIsDoneAtOnce) {
  const ObjectId id = object(SyncKind::queue, "q", 0);
  EXPECT_EQ(*take(a, id)->result, QueueState::empty);
}

TEST_F(SyncTest, ObjectsGoWithTheirSegment) {
  const ObjectId id = object(SyncKind::barrier, "b", 3);
  const ObjectId queue = object(SyncKind::queue, "q", 1);
  const auto waiting = arrive(a, id);
  EXPECT_TRUE(home->close_segment(b.id, s.id));
  EXPECT_EQ(code_of(waiting->result), Code::lost) << "a party left";
  EXPECT_TRUE(home->close_segment(c.id, s.id));
  EXPECT_EQ(*take(a, queue)->result, 0u);
  const auto parked = take(a, queue);
  EXPECT_TRUE(home->close_segment(a.id, s.id));
  EXPECT_EQ(parked->times, 1);
  EXPECT_FALSE(parked->result);
  EXPECT_EQ(code_of(arrive(a, id)->result), Code::not_found);
  const auto fresh = make(a, "s", 1);
  EXPECT_NE(*home->open_object(a.id, fresh.id, SyncKind::barrier, "b", 2), id);
}

TEST_F(SyncTest, AnOutcomeMayCallTheHomeAgain) {
  const ObjectId id = object(SyncKind::queue, "q", 1);
  EXPECT_EQ(*take(a, id)->result, 0u);
  std::uint64_t seen = 0;
  home->queue_take(b.id, id, soon, [&](const Result<std::uint64_t>& r) {
    seen = *r;
    EXPECT_TRUE(home->queue_done(b.id, id, *r));
  });
  const auto last = take(c, id);
  kill(a);
  EXPECT_EQ(seen, 0u);
  EXPECT_EQ(*last->result, QueueState::empty);
}

}  // namespace
}  // namespace hive::cell::test
