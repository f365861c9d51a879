// RPC with threads, between nodes in one process.
#include "cell/rpc/rpc_endpoint.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <future>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/safe_copy.h"
#include "proto/causes.h"
#include "rpc_node.h"

namespace hive::test {
namespace {

using cell::RpcEndpoint;
using cell::RpcLevel;
using cell::RpcReply;
using cell::RpcRequest;

constexpr std::uint64_t patient = 60 * ns_per_s;  // for what must happen, on a machine at work

std::span<const std::byte> bytes_of(const std::uint64_t& value) {
  return std::as_bytes(std::span(&value, 1));
}
template <class Condition>
bool wait_for(Condition condition) {
  const std::uint64_t deadline = now_ns() + patient;
  while (!condition()) {
    if (now_ns() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

class RpcThreads : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { install_safe_copy_handler(); }
  static inline const machine::Layout layout = machine::make_layout(3, std::uint64_t{1} << 20);
};

class RpcSpinning : public RpcThreads, public ::testing::WithParamInterface<bool> {
 protected:
  RpcEndpoint::Options options() const {
    RpcEndpoint::Options o;
    o.spin = GetParam();
    return o;
  }
};
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

TEST_P(RpcSpinning, TheFailureOfACellEndsTheCallsToIt) {
  RpcNode a(layout, 0, options());
  RpcNode b(layout, 1, options());
  RpcNode::join(a, b);  // and nobody receives for b
  std::vector<std::future<Result<RpcReply>>> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(std::async(std::launch::async, [&] { return a.rpc.call(1, op_echo, {}, patient); }));
  }
  ASSERT_TRUE(wait_for([&] { return a.rpc.counters(1).calls.load() == 4; }));
  ASSERT_TRUE(wait_for([&] { return a.memory.header()->reply_sleepers.load() == 4; }));
  a.rpc.fail_cell(1);
  for (auto& call : calls) EXPECT_EQ(call.get().error().code, Code::cell_down);
  EXPECT_EQ(a.rpc.call(1, op_echo, {}, patient).error().code, Code::cell_down);
  EXPECT_EQ(a.rpc.send_one_way(1, op_echo, {}).error().code, Code::cell_down);
  a.rpc.fail_cell(1);  // twice is once
  a.hardware.disconnect(1);
  EXPECT_FALSE(a.was_hinted("answer"));
}

TEST_P(RpcSpinning, ACellThatDoesNotAnswerIsATimeoutAndAHint) {
  RpcNode a(layout, 0, options());
  RpcNode b(layout, 1, options());
  RpcNode::join(a, b);
  const std::uint64_t begin = now_ns();
  auto reply = a.rpc.call(1, op_echo, {}, 5 * ns_per_ms);
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().code, Code::timed_out);
  EXPECT_EQ(reply.error().cell, 1);
  EXPECT_GE(now_ns() - begin, 5 * ns_per_ms);
  EXPECT_TRUE(a.was_hinted("1: it did not answer"));
  // The answer comes after all, and is dropped; the next call gets its own.
  b.start_receiving();
  EXPECT_EQ(*a.rpc.call_for<std::uint64_t>(1, op_echo, std::uint64_t{5}, patient), 5U);
  using cell::RpcReject;
  EXPECT_EQ(a.rpc.counters(1).rejected[static_cast<std::size_t>(RpcReject::no_such_call)], 1U);
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
    callers.emplace_back([&] { answered += a.rpc.call(1, op_echo, {}, patient).has_value() ? 1 : 0; });
  }
  EXPECT_TRUE(wait_for([&] {
    return a.rpc.counters(1).calls.load() >= cell::calls_per_peer_max;
  }));
  b.start_receiving();
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(answered.load(), 2 * cell::calls_per_peer_max);
}

TEST_F(RpcThreads, GarbageInTheRingIsCountedAndTrafficGoesOn) {
  RpcNode a(layout, 0);
  RpcNode b(layout, 1);
  RpcNode::join(a, b);
  b.start_receiving();
  ASSERT_TRUE(a.rpc.call(1, op_echo, {}, patient).has_value());
  // Scribble over a's ring to b: what is sent through these slots later is whole again, since the
  // sender writes it anew; what lies there now is old.
  machine::SipsRing* ring = a.memory.ring_to(1);
  ring->slots[1].sequence.store(0x12345678);  // where b looks next
  EXPECT_TRUE(wait_for([&] { return b.was_hinted("0: garbage"); }));
  for (std::uint64_t i = 0; i < 200; ++i) {
    ASSERT_EQ(*a.rpc.call_for<std::uint64_t>(1, op_echo, i, patient), i);
  }
  // And a message with a right sum whose contents are nonsense.
  std::array<std::byte, 50> nonsense{};
  ASSERT_TRUE(a.hardware.send(1, nonsense));
  EXPECT_TRUE(wait_for([&] { return b.was_hinted("0: it sends messages that make no sense"); }));
  EXPECT_TRUE(a.rpc.call(1, op_echo, {}, patient).has_value());
  EXPECT_GE(b.rpc.counters(0).rejected_total(), 2U);
}

TEST_F(RpcThreads, MemoryThatFailsIsAHintAndNoSignal) {
  RpcNode a(layout, 0);
  RpcNode b(layout, 1);
  RpcNode::join(a, b);
  a.start_receiving();
  b.memory.fail();
  EXPECT_TRUE(wait_for([&] { return a.was_hinted("1: bus error"); }));
  auto call = a.rpc.call(1, op_echo, {}, 2 * ns_per_ms);
  ASSERT_FALSE(call.has_value());
  EXPECT_EQ(call.error().code, Code::timed_out);
  auto waiting = std::async(std::launch::async, [&] { return a.rpc.call(1, op_echo, {}, patient); });
  ASSERT_TRUE(wait_for([&] { return a.rpc.counters(1).calls.load() == 2; }));
  a.rpc.fail_cell(1);
  EXPECT_EQ(waiting.get().error().code, Code::cell_down);
  std::uint64_t out = 0;
  EXPECT_FALSE(a.hardware.read_remote(layout.kernel_begin(1), &out, sizeof out));
}

TEST_F(RpcThreads, ACellThatIsBootedAgainIsTakenBack) {
  RpcNode a(layout, 0);
  auto b = std::make_unique<RpcNode>(layout, 1);
  RpcNode::join(a, *b);
  b->start_receiving();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(a.rpc.call(1, op_echo, {}, patient).has_value());
  b.reset();
  a.rpc.fail_cell(1);
  a.hardware.disconnect(1);
  a.rpc.quiesce(1);
  b = std::make_unique<RpcNode>(layout, 1, RpcEndpoint::Options(), 2);
  RpcNode::join(a, *b);
  b->start_receiving();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(a.rpc.call(1, op_echo, {}, patient).has_value());
}

TEST_F(RpcThreads, AHeaderThatMakesNoSenseIsNotConnectedTo) {
  RpcNode a(layout, 0);
  MappedNode b(layout, 1);
  b.header()->rings_offset = layout.kernel_bytes - 64;
  EXPECT_EQ(a.hardware.connect(1, {}).error().code, Code::corrupt);
  b.header()->rings_offset = 4096 + 8;
  EXPECT_EQ(a.hardware.connect(1, {}).error().code, Code::corrupt);
  b.header()->rings_offset = ~std::uint64_t{63};
  EXPECT_EQ(a.hardware.connect(1, {}).error().code, Code::corrupt);
  b.header()->rings_offset = 4096;
  b.header()->node = 2;
  EXPECT_EQ(a.hardware.connect(1, {}).error().code, Code::corrupt);
  EXPECT_EQ(a.hardware.connect(0, {}).error().code, Code::bad_argument);
  b.fail();
  EXPECT_EQ(a.hardware.connect(1, {}).error().code, Code::cell_down);
}

TEST_F(RpcThreads, ThePowerSwitchKillsAndTheNodeIsKnownOffWhenBothAreDead) {
  const auto sleeper = [] {
    const pid_t pid = ::fork();
    if (pid == 0) {
      for (;;) ::pause();
    }
    return pid;
  };
  const auto pidfd_of = [](pid_t pid) {
    return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  };
  RpcNode a(layout, 0);
  MappedNode b(layout, 1);
  const pid_t power = sleeper();
  const pid_t starter = sleeper();
  ASSERT_TRUE(a.hardware.connect(1, {UniqueFd(), pidfd_of(power), pidfd_of(starter)}).has_value());
  EXPECT_FALSE(a.hardware.is_off(1));
  a.hardware.power_off(1);
  EXPECT_EQ(::waitpid(power, nullptr, 0), power);
  EXPECT_FALSE(a.hardware.is_off(1));
  ::kill(starter, SIGKILL);
  EXPECT_EQ(::waitpid(starter, nullptr, 0), starter);
  EXPECT_TRUE(a.hardware.is_off(1));
  a.hardware.disconnect(1);
  EXPECT_TRUE(a.hardware.is_off(1));
  EXPECT_FALSE(a.hardware.is_off(2));
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
