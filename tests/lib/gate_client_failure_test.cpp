// Calls that are never answered: by servers that hang or die, for want of slots, at the end of the
// session.
#include <bit>
#include <csignal>
#include <thread>
#include <vector>

#include <linux/futex.h>

#include "gate_world.h"
#include "lib/deadline.h"

namespace hive::lib {
namespace {

using proto::GateOp;

TEST_F(GateClientTest, NoReplyIsTimedOutAndTheSlotIsKeptUntilTheLateReply) {
  const auto asked = now_ns();
  const auto values = client->call({.deadline_ns = asked + 10 * ns_per_ms});
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Code::timed_out);
  EXPECT_EQ(values.error().cell, server);
  EXPECT_GE(now_ns() - asked, proto::gate_reply_grace_ns);
  EXPECT_EQ(client->slots_retired(), 1);

  // The next call goes by another slot, so the late reply to the first is not taken for its own.
  std::thread late([&] {
    wait_until([&] { return requests->posted[1].load() == 1; });
    answer(0, 1, {111});
    answer(1, 1, {222});
  });
  const auto next = client->call({});
  late.join();
  ASSERT_TRUE(next);
  EXPECT_EQ((*next)[0], 222U);

  serve_echo();
  ASSERT_TRUE(client->call({}));
  EXPECT_EQ(client->slots_retired(), 0);
  EXPECT_EQ(client->slots_in_use(), 0);
}

TEST_F(GateClientTest, WaitsEndWhenTheServingCellLeavesTheLiveSet) {
  std::thread death([&] {
    wait_until([&] { return requests->slots[0].sleeping.load() != 0; });
    own_header->live_set.store(0b01);
    own_header->epoch.store(8);
    own_header->epoch_word.store(8);
    futex_wake(&own_header->epoch_word, 1 << 20);
  });
  const auto asked = now_ns();
  const auto values =
      client->call({.op = GateOp::barrier_arrive, .deadline_ns = deadline_in(wait_ns_max)});
  death.join();
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Code::cell_down);
  EXPECT_EQ(values.error().cell, server);
  EXPECT_EQ(values.error().epoch, 8U);
  EXPECT_LT(now_ns() - asked, 15 * ns_per_s);

  // And later calls do not begin.
  const auto next = client->call({});
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, Code::cell_down);
}

TEST_F(GateClientTest, WaitsEndWhenALifelineIsMarkedThoughNobodyAgreedYet) {
  std::thread death([&] {
    wait_until([&] { return requests->slots[0].sleeping.load() != 0; });
    server_header->lifelines[self].word.fetch_or(FUTEX_OWNER_DIED);
  });
  const auto values = client->call({.deadline_ns = deadline_in(wait_ns_max)});
  death.join();
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Code::cell_down);
}

TEST_F(GateClientTest, MemoryOfTheServerThatFailsIsCellDown) {
  std::thread death([&] {
    wait_until([&] { return requests->slots[0].sleeping.load() != 0; });
    replies.fail();
  });
  const auto values = client->call({.deadline_ns = deadline_in(wait_ns_max)});
  death.join();
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Code::cell_down);
}

TEST_F(GateClientTest, MemoryOfTheOwnCellThatFailsEndsTheTaskWithAMessage) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        own_header.fail();
        (void)client->call({});
      },
      ::testing::KilledBySignal(SIGBUS),
      "memory of cell 0, to which this task belongs, has failed");
}

TEST_F(GateClientTest, DetachingEndsWaits) {
  std::thread detach([&] {
    wait_until([&] { return requests->slots[0].sleeping.load() != 0; });
    closing.store(1);
    futex_wake(&closing, 1);
  });
  const auto values = client->call({.deadline_ns = deadline_in(wait_ns_max)});
  detach.join();
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Code::refused);
}

TEST_F(GateClientTest, WaitingCallsLeaveSlotsForPageFaults) {
  // Barriers are never answered here, everything else is.
  serve([this](std::size_t slot, std::uint32_t sequence, const PlainRequest& request) {
    if (request.op != static_cast<std::uint16_t>(GateOp::barrier_arrive))
      answer(slot, sequence, {1});
  });
  const int waiting = std::popcount(waiting_slots);
  std::vector<std::thread> waiters;
  for (int i = 0; i < waiting; ++i) {
    waiters.emplace_back([&] {
      const auto values =
          client->call({.op = GateOp::barrier_arrive, .deadline_ns = deadline_in(wait_ns_max)});
      EXPECT_FALSE(values);
    });
  }
  wait_until([&] { return client->slots_in_use() == waiting; });
  EXPECT_TRUE(client->call({.op = GateOp::fault}));
  // One more that waits finds no slot and says so at its deadline.
  const auto full =
      client->call({.op = GateOp::queue_take, .deadline_ns = now_ns() + 20 * ns_per_ms});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::exhausted);
  closing.store(1);
  futex_wake(&closing, 1 << 20);
  for (std::thread& waiter : waiters) waiter.join();
}

TEST_F(GateClientTest, AFreedSlotGoesToACallThatWaitsForOne) {
  std::atomic<bool> go{false};
  serve([&](std::size_t slot, std::uint32_t sequence, const PlainRequest&) {
    if (slot == 0) wait_until([&] { return go.load(); });
    answer(slot, sequence, {1});
  });
  std::vector<std::thread> callers;
  std::atomic<int> done{0};
  for (int i = 0; i < 40; ++i) {
    callers.emplace_back([&] {
      if (client->call({})) ++done;
    });
  }
  wait_until([&] { return client->slots_in_use() == static_cast<int>(proto::gate_slots); });
  go.store(true);
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(done.load(), 40);
}

}  // namespace
}  // namespace hive::lib
