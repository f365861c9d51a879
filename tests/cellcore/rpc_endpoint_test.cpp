// RPC with threads, between nodes in one process.
#include "cell/rpc/rpc_endpoint.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <future>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "proto/causes.h"
#include "rpc_threads.h"

namespace hive::test {
namespace {

using cell::RpcEndpoint;
using cell::RpcLevel;
using cell::RpcReply;
using cell::RpcRequest;

INSTANTIATE_TEST_SUITE_P(SpinOrSleep, RpcSpinning, ::testing::Bool());

TEST_P(RpcSpinning, CallsAtBothLevelsAreAnswered) {
  RpcNode a(layout, 0, options());
  RpcNode b(layout, 1, options());
  RpcNode::join(a, b);
  b.rpc.start();
  b.start_receiving();
  for (std::uint64_t i = 0; i < 500; ++i) {
    for (const std::uint16_t opcode : {op_echo, op_echo_queued}) {
      auto echoed = a.rpc.call_for<std::uint64_t>(1, opcode, i, patient);
      ASSERT_TRUE(echoed.has_value()) << echoed.error().cause;
      ASSERT_EQ(*echoed, i);
    }
  }
  EXPECT_TRUE(wait_for([&] { return b.rpc.queued_served() == 500; }));
  EXPECT_EQ(b.memory.header()->reply_sleepers.load(), 0U);
  EXPECT_EQ(a.memory.header()->reply_sleepers.load(), 0U);
}

TEST_P(RpcSpinning, BodiesOfEveryLengthArriveWhole) {
  RpcNode a(layout, 0, options());
  RpcNode b(layout, 1, options());
  RpcNode::join(a, b);
  b.start_receiving();
  std::vector<std::byte> body;
  for (std::size_t length = 0; length <= cell::rpc_body_max; ++length) {
    auto reply = a.rpc.call(1, op_echo, body, patient);
    ASSERT_TRUE(reply.has_value());
    ASSERT_TRUE(std::ranges::equal(reply->body(), body));
    body.push_back(static_cast<std::byte>(length * 7 + 1));
  }
  EXPECT_EQ(a.rpc.call(1, op_echo, body, patient).error().code, Code::bad_argument);
}

TEST_P(RpcSpinning, ManyThreadsOfManyCellsCallEachOther) {
  constexpr int threads = 3;
  constexpr std::uint64_t calls = 1500;
  RpcNode a(layout, 0, options());
  RpcNode b(layout, 1, options());
  RpcNode c(layout, 2, options());
  RpcNode* nodes[] = {&a, &b, &c};
  RpcNode::join(a, b);
  RpcNode::join(b, c);
  RpcNode::join(c, a);
  std::atomic<std::uint64_t> wrong{0};
  for (RpcNode* node : nodes) {
    node->rpc.start();
    node->start_receiving();
  }
  std::vector<std::thread> callers;
  for (int n = 0; n < 3; ++n) {
    for (int t = 0; t < threads; ++t) {
      callers.emplace_back([&, n, t] {
        for (std::uint64_t i = 0; i < calls; ++i) {
          const int to = (n + 1 + static_cast<int>(i % 2)) % 3;
          const std::uint64_t value = static_cast<std::uint64_t>(n * threads + t) << 32 | i;
          const std::uint16_t opcode = i % 8 == 0 ? op_echo_queued : op_echo;
          auto echoed = nodes[n]->rpc.call_for<std::uint64_t>(to, opcode, value, patient);
          if (!echoed || *echoed != value) ++wrong;
        }
      });
    }
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(wrong.load(), 0U);
  for (int n = 0; n < 3; ++n) {
    for (int p = 0; p < 3; ++p) {
      if (p == n) continue;
      EXPECT_EQ(nodes[n]->rpc.counters(p).rejected_total(), 0U);
      EXPECT_EQ(nodes[n]->rpc.counters(p).replies_dropped.load(), 0U);
      EXPECT_EQ(nodes[n]->rpc.counters(p).requests.load(), threads * calls / 2);
    }
  }
}

// Node a has no receive thread: its caller serves what b asks while it waits for b.
TEST_P(RpcSpinning, WhoWaitsServes) {
  RpcNode a(layout, 0, options());
  RpcNode b(layout, 1, options());
  b.rpc.serve(op_first_own, RpcLevel::queued, [&](const RpcRequest& request, RpcReply& reply) {
    auto echoed = b.rpc.call(request.from, op_echo, request.body, patient);
    if (!echoed) return Result<void>(fail(echoed.error()));
    reply = *echoed;
    return Result<void>();
  });
  RpcNode::join(a, b);
  b.rpc.start();
  b.start_receiving();
  for (std::uint64_t i = 0; i < 200; ++i) {
    auto echoed = a.rpc.call_for<std::uint64_t>(1, op_first_own, i, patient);
    ASSERT_TRUE(echoed.has_value()) << echoed.error().cause;
    EXPECT_EQ(*echoed, i);
  }
}

TEST_F(RpcThreads, ErrorsOfHandlersArriveWithTheirCause) {
  RpcNode a(layout, 0);
  RpcNode b(layout, 1);
  b.rpc.serve(op_first_own, RpcLevel::interrupt, [](const RpcRequest&, RpcReply&) {
    return Result<void>(fail(Code::refused, proto::causes[6], 2));
  });
  RpcNode::join(a, b);
  b.start_receiving();
  auto refused = a.rpc.call(1, op_first_own, {}, patient);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::refused);
  EXPECT_EQ(refused.error().cell, 2);
  EXPECT_STREQ(refused.error().cause, proto::causes[6]);
  auto unknown = a.rpc.call(1, 200, {}, patient);
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, Code::bad_argument);
  const std::uint64_t value = 1;
  EXPECT_EQ(a.rpc.call_for<std::uint32_t>(1, op_echo, value, patient).error().code, Code::corrupt);
}

TEST_F(RpcThreads, ACellCanCallItself) {
  RpcNode a(layout, 0);
  EXPECT_EQ(*a.rpc.call_for<std::uint64_t>(0, op_echo, std::uint64_t{9}, patient), 9U);
  EXPECT_EQ(*a.rpc.call_for<std::uint64_t>(0, op_echo_queued, std::uint64_t{9}, patient), 9U);
  EXPECT_EQ(a.rpc.call(0, 200, {}, patient).error().code, Code::bad_argument);
  EXPECT_EQ(a.rpc.call(7, op_echo, {}, patient).error().code, Code::bad_argument);
  EXPECT_EQ(a.rpc.call(-1, op_echo, {}, patient).error().code, Code::bad_argument);
}

TEST_F(RpcThreads, AFullQueueIsAnswered) {
  RpcEndpoint::Options options;
  options.servers = 1;
  options.queue_max = 2;
  RpcNode a(layout, 0);
  RpcNode b(layout, 1, options);
  std::atomic<int> inside{0};
  std::atomic<bool> go{false};
  b.rpc.serve(op_first_own, RpcLevel::queued, [&](const RpcRequest&, RpcReply&) {
    ++inside;
    while (!go) std::this_thread::yield();
    return Result<void>();
  });
  RpcNode::join(a, b);
  b.rpc.start();
  b.start_receiving();
  std::vector<std::future<Result<RpcReply>>> calls;
  const auto call = [&] {
    calls.push_back(std::async(std::launch::async,
                               [&] { return a.rpc.call(1, op_first_own, {}, patient); }));
  };
  call();
  ASSERT_TRUE(wait_for([&] { return inside == 1; }));
  call();
  call();
  ASSERT_TRUE(wait_for([&] { return b.rpc.queue_waiting() == 2; }));
  auto too_much = a.rpc.call(1, op_first_own, {}, patient);
  ASSERT_FALSE(too_much.has_value());
  EXPECT_EQ(too_much.error().code, Code::exhausted);
  EXPECT_EQ(b.rpc.counters(0).queue_overflows.load(), 1U);
  EXPECT_TRUE(a.rpc.call(1, op_echo, {}, patient).has_value());  // interrupt level goes on
  go = true;
  for (auto& waiting : calls) EXPECT_TRUE(waiting.get().has_value());
}

TEST_F(RpcThreads, OneWayMessagesArriveAndAFullRingIsAnError) {
  RpcNode a(layout, 0);
  RpcNode b(layout, 1);
  std::atomic<std::uint64_t> sum{0};
  b.rpc.serve(op_first_own, RpcLevel::interrupt, [&](const RpcRequest& request, RpcReply&) {
    std::uint64_t value = 0;
    if (request.get(value)) sum += value;
    return Result<void>();
  });
  RpcNode::join(a, b);
  std::uint64_t sent = 0;
  std::uint64_t expected = 0;
  while (a.rpc.send_one_way(1, op_first_own, bytes_of(sent)).has_value()) expected += sent++;
  EXPECT_EQ(sent, machine::sips_slots);
  EXPECT_EQ(a.rpc.send_one_way(1, op_first_own, bytes_of(sent)).error().code, Code::exhausted);
  EXPECT_EQ(a.rpc.call(1, op_echo, {}, ns_per_ms).error().code, Code::timed_out);
  b.start_receiving();
  EXPECT_TRUE(wait_for([&] { return sum == expected; }));
  EXPECT_TRUE(a.rpc.call(1, op_echo, {}, patient).has_value());
  EXPECT_EQ(b.rpc.counters(0).rejected_total(), 0U);
}

TEST_F(RpcThreads, MoreCallersThanCallsMayWaitTakeTurns) {
  RpcNode a(layout, 0);
  RpcNode b(layout, 1);
  RpcNode::join(a, b);
  std::vector<std::thread> callers;
  std::atomic<int> answered{0};
  for (int i = 0; i < 2 * cell::calls_per_peer_max; ++i) {
    callers.emplace_back([&] {
      if (a.rpc.call(1, op_echo, {}, patient)) ++answered;
    });
  }
  EXPECT_TRUE(wait_for([&] {
    return a.rpc.counters(1).calls.load() >= cell::calls_per_peer_max;
  }));
  b.start_receiving();
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(answered.load(), 2 * cell::calls_per_peer_max);
}

using RpcThreadsDeath = RpcThreads;
TEST_F(RpcThreadsDeath, AnInterruptLevelHandlerThatCallsIsABug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        RpcNode a(layout, 0);
        RpcNode b(layout, 1);
        b.rpc.serve(op_first_own, RpcLevel::interrupt, [&](const RpcRequest& request, RpcReply&) {
          return b.rpc.call(request.from, op_echo, {}, ns_per_ms).has_value() ? Result<void>()
                                                                             : Result<void>();
        });
        RpcNode::join(a, b);
        b.start_receiving();
        EXPECT_FALSE(a.rpc.call(1, op_first_own, {}, patient).has_value());
      },
      "check failed");
}

}  // namespace
}  // namespace hive::test
