// RPC with threads when something fails: a cell, its memory, its answers, its power.
#include <array>
#include <cstdint>
#include <future>
#include <memory>
#include <vector>

#include <csignal>

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rpc_threads.h"

namespace hive::test {
namespace {

using cell::RpcEndpoint;
using cell::RpcReply;

INSTANTIATE_TEST_SUITE_P(SpinOrSleep, RpcSpinning, ::testing::Bool());

TEST_P(RpcSpinning, TheFailureOfACellEndsTheCallsToIt) {
  RpcNode a(layout, 0, options());
  RpcNode b(layout, 1, options());
  RpcNode::join(a, b);  // and nobody receives for b
  std::vector<std::future<Result<RpcReply>>> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(
        std::async(std::launch::async, [&] { return a.rpc.call(1, op_echo, {}, patient); }));
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
  auto waiting =
      std::async(std::launch::async, [&] { return a.rpc.call(1, op_echo, {}, patient); });
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
  a.hardware.forget(1);
  b = std::make_unique<RpcNode>(layout, 1, RpcEndpoint::Options(), 2);
  // It may listen before the other has connected, and then hears nothing of its own last life.
  b->connect(a);
  b->rpc.receive_loop_once(0);
  EXPECT_EQ(b->rpc.counters(0).rejected_total(), 0U);
  a.connect(*b);
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

}  // namespace
}  // namespace hive::test
