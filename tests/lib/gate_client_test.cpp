// The calling end of a gate against servers that are threads here: good ones, slow ones, and ones
// that write nonsense.
#include <thread>
#include <vector>

#include "gate_world.h"
#include "proto/causes.h"

namespace hive::lib {
namespace {

using proto::GateOp;

TEST_F(GateClientTest, CallBringsTheReplyAndFreesItsSlot) {
  serve_echo();
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const auto values = client->call({.op = GateOp::null, .args = {i, i * 2}, .name = "x"});
    ASSERT_TRUE(values) << values.error().message();
    EXPECT_EQ((*values)[0], i);
    EXPECT_EQ((*values)[1], i * 2);
    EXPECT_EQ((*values)[3], 1U);
  }
  EXPECT_EQ(client->slots_in_use(), 0);
  EXPECT_EQ(requests->slots_used.load(), 1U);
}

TEST_F(GateClientTest, ManyThreadsEachGetTheirOwnReplies) {
  serve_echo();
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (std::uint64_t t = 0; t < 40; ++t) {
    callers.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < 100; ++i) {
        const auto values = client->call({.args = {t, i}});
        if (!values || (*values)[0] != t || (*values)[1] != i) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(client->slots_in_use(), 0);
}

TEST_F(GateClientTest, DoorbellRingsOnlyForACellThatSleeps) {
  serve_echo();
  ASSERT_TRUE(client->call({}));
  std::uint64_t rung = 0;
  EXPECT_LT(::read(doorbell, &rung, sizeof rung), 0);
  server_header->gate_asleep.store(1);
  ASSERT_TRUE(client->call({}));
  EXPECT_EQ(::read(doorbell, &rung, sizeof rung), static_cast<ssize_t>(sizeof rung));
}

TEST_F(GateClientTest, ErrorsOfTheCellArriveWithCodeCauseAndRange) {
  const std::uint16_t cause = proto::cause_index("the range lies outside the segment");
  serve([&](std::size_t slot, std::uint32_t sequence, const PlainRequest&) {
    answer_failed(slot, sequence, static_cast<std::uint8_t>(Code::lost), cause);
  });
  const auto values = client->call({});
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Code::lost);
  EXPECT_EQ(values.error().cell, server);
  EXPECT_EQ(values.error().epoch, 7U);
  EXPECT_EQ(values.error().lost_range.offset, 4096U);
  EXPECT_EQ(values.error().lost_range.length, 8192U);
  EXPECT_STREQ(values.error().cause, "the range lies outside the segment");
}

TEST_F(GateClientTest, SenselessRepliesAreCorruptAndNeverBelieved) {
  int round = 0;
  serve([&](std::size_t slot, std::uint32_t sequence, const PlainRequest&) {
    switch (round++) {
      case 0:
        return answer_failed(slot, sequence, 200, 0);  // no such code
      case 1:
        return answer_failed(slot, sequence, 0, 0, 77);  // neither failed nor not
      default:
        return answer(slot, sequence + 1000, {});  // a reply to something never asked
    }
  });
  for (int i = 0; i < 3; ++i) {
    const auto values = client->call({});
    ASSERT_FALSE(values);
    EXPECT_EQ(values.error().code, Code::corrupt);
  }
  EXPECT_EQ(client->slots_retired(), 1);  // the last one's, whose true reply may still come
}

TEST_F(GateClientTest, UnknownCauseNumbersAreNoCause) {
  serve([&](std::size_t slot, std::uint32_t sequence, const PlainRequest&) {
    answer_failed(slot, sequence, static_cast<std::uint8_t>(Code::busy), 60000);
  });
  const auto values = client->call({});
  ASSERT_FALSE(values);
  EXPECT_EQ(values.error().code, Code::busy);
  EXPECT_STREQ(values.error().cause, proto::causes[0]);
}

TEST_F(GateClientTest, SleepersAreWokenByTheReply) {
  SpinPolicy never{1};
  auto with = surroundings();
  with.spin = &never;
  GateClient sleeper(with);
  serve([&](std::size_t slot, std::uint32_t sequence, const PlainRequest&) {
    wait_until([&] { return requests->slots[slot].sleeping.load() != 0; });
    answer(slot, sequence, {42});
  });
  for (int i = 0; i < 20; ++i) {
    const auto values = sleeper.call({});
    ASSERT_TRUE(values);
    EXPECT_EQ((*values)[0], 42U);
  }
}

TEST_F(GateClientTest, SpuriousWakesAndAForgottenWakeAreSurvived) {
  SpinPolicy never{1};
  auto with = surroundings();
  with.spin = &never;
  GateClient sleeper(with);
  serve([&](std::size_t slot, std::uint32_t sequence, const PlainRequest&) {
    wait_until([&] { return requests->slots[slot].sleeping.load() != 0; });
    for (int i = 0; i < 50; ++i) {
      futex_wake(&replies->slots[slot].sequence, 1);
      own_header->epoch_word.fetch_add(1);
      futex_wake(&own_header->epoch_word, 1);
      std::this_thread::yield();
    }
    replies->slots[slot].values = {9};
    replies->slots[slot].sequence.store(sequence);  // and nobody is woken
  });
  const auto values = sleeper.call({});
  ASSERT_TRUE(values) << values.error().message();
  EXPECT_EQ((*values)[0], 9U);
}

}  // namespace
}  // namespace hive::lib
