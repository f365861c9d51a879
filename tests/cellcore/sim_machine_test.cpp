#include "machine/sim/sim_machine.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace hive::machine {
namespace {

std::span<const std::byte> bytes_of(const std::uint64_t& value) {
  return std::as_bytes(std::span(&value, 1));
}
std::uint64_t number_in(const SipsMessage& message) {
  std::uint64_t value = 0;
  std::memcpy(&value, message.payload.data(), sizeof value);
  return value;
}

// Node 0 and 1 send numbers to node 2, which notes them with their times.
struct Traffic {
  explicit Traffic(SimOptions options) : machine(options) {
    machine.on_mail(2, [this] {
      for (const CellId from : {0, 1}) {
        SipsMessage message;
        for (;;) {
          const SipsReceived what = machine.hardware(2).receive(from, message);
          if (what == SipsReceived::none) break;
          if (what == SipsReceived::message) got.push_back({from, number_in(message)});
        }
      }
    });
    for (std::uint64_t i = 0; i < 200; ++i) {
      for (const CellId from : {0, 1}) {
        machine.at(i * 500, from,
                   [this, from, i] { machine.hardware(from).send(2, bytes_of(i)); });
      }
    }
  }
  struct Got {
    CellId from;
    std::uint64_t number;
    bool operator==(const Got&) const = default;
  };
  SimMachine machine;
  std::vector<Got> got;
};

TEST(SimMachine, ASeedReplaysARunExactly) {
  const SimOptions options{.cells = 3, .seed = 5, .flip_one_in = 10, .replay_one_in = 10,
                           .garbage_one_in = 10};
  Traffic first(options);
  Traffic again(options);
  SimOptions other_options = options;
  other_options.seed = 6;
  Traffic other(other_options);
  for (Traffic* traffic : {&first, &again, &other}) traffic->machine.run_until(10'000'000);
  EXPECT_EQ(first.machine.digest(), again.machine.digest());
  EXPECT_EQ(first.got, again.got);
  EXPECT_NE(first.machine.digest(), other.machine.digest());
}

TEST(SimMachine, ARingIsInOrderAndDifferentRingsAreNot) {
  Traffic traffic({.cells = 3, .seed = 1});
  traffic.machine.run_until(10'000'000);
  std::uint64_t next[2] = {0, 0};
  bool overtaken = false;
  for (const auto& got : traffic.got) {
    EXPECT_EQ(got.number, next[got.from]++);
    overtaken = overtaken || next[got.from] > next[1 - got.from] + 1;
  }
  EXPECT_EQ(traffic.got.size(), 400U);
  EXPECT_TRUE(overtaken);
}

TEST(SimMachine, ARingThatNobodyReadsFillsUp) {
  SimMachine machine({.cells = 2});
  std::uint64_t sent = 0;
  while (machine.hardware(0).send(1, bytes_of(sent))) ++sent;
  EXPECT_EQ(sent, sips_slots);
  machine.run_until(1'000'000);
  SipsMessage message;
  EXPECT_EQ(machine.hardware(1).receive(0, message), SipsReceived::message);
  EXPECT_TRUE(machine.hardware(0).send(1, bytes_of(sent)));
  EXPECT_FALSE(machine.hardware(0).send(1, bytes_of(sent)));
}

TEST(SimMachine, EachFaultOfMessagesHappensAndIsCounted) {
  Traffic traffic({.cells = 3, .seed = 3, .flip_one_in = 8, .spoil_one_in = 8, .drop_one_in = 8,
                   .replay_one_in = 8, .garbage_one_in = 8, .stall_one_in = 8});
  traffic.machine.run_until(100'000'000);
  const SimCounters& counters = traffic.machine.counters();
  for (const auto count : {counters.flipped, counters.spoiled, counters.dropped, counters.replayed,
                           counters.garbage}) {
    EXPECT_GT(count, 0U);
  }
  EXPECT_EQ(traffic.got.size(), counters.sent - counters.spoiled - counters.dropped +
                                    counters.replayed + counters.garbage);
}

TEST(SimMachine, ADeadNodeDoesNothingAndAStoppedOneDoesItLater) {
  SimMachine machine({.cells = 3});
  std::vector<int> ran;
  machine.at(10, 1, [&] { ran.push_back(1); });
  machine.at(10, 2, [&] { ran.push_back(2); });
  machine.at(5, SimMachine::no_node, [&] {
    machine.stop(1);
    machine.kill(2);
  });
  machine.run_until(20);
  EXPECT_TRUE(ran.empty());
  machine.resume(1);
  machine.run_until(30);
  EXPECT_EQ(ran, std::vector<int>{1});
  EXPECT_TRUE(machine.hardware(0).is_off(2));
  EXPECT_FALSE(machine.hardware(0).is_off(1));
  machine.hardware(0).power_off(1);
  EXPECT_TRUE(machine.hardware(0).is_off(1));
  EXPECT_FALSE(machine.hardware(1).send(0, {}));
}

TEST(SimMachine, ANodeThatIsRestartedHasNothingOfItsFormerLife) {
  SimMachine machine({.cells = 2, .memory_bytes = 64});
  std::vector<int> ran;
  machine.memory(1)[0] = std::byte{7};
  machine.hardware(0).send(1, bytes_of(5));
  machine.on_mail(1, [&] { ran.push_back(0); });
  machine.at(1'000'000, 1, [&] { ran.push_back(1); });
  machine.stop(1);
  machine.run_until(500'000);  // the mail is held back
  machine.fail_memory(1);
  machine.kill(1);
  machine.restart(1);
  machine.at(2'000'000, 1, [&] { ran.push_back(2); });
  machine.run_until(3'000'000);
  EXPECT_EQ(ran, std::vector<int>{2});
  EXPECT_FALSE(machine.is_dead(1));
  EXPECT_FALSE(machine.is_stopped(1));
  EXPECT_EQ(machine.memory(1)[0], std::byte{0});
  SipsMessage message;
  EXPECT_EQ(machine.hardware(1).receive(0, message), SipsReceived::none);
  EXPECT_TRUE(machine.hardware(1).send(0, bytes_of(6)));
}

TEST(SimMachine, MemoryCanBeReadFromOtherNodesUntilItFails) {
  SimMachine machine({.cells = 2, .memory_bytes = 64});
  const std::uint64_t value = 77;
  std::memcpy(machine.memory(1).data() + 56, &value, sizeof value);
  std::uint64_t out = 0;
  Hardware& node = machine.hardware(0);
  EXPECT_TRUE(node.read_remote(SimMachine::address(1, 56), &out, sizeof out));
  EXPECT_EQ(out, 77U);
  EXPECT_FALSE(node.read_remote(SimMachine::address(1, 57), &out, sizeof out));
  EXPECT_FALSE(node.read_remote(SimMachine::address(2, 0), &out, sizeof out));
  EXPECT_FALSE(node.read_remote(0, &out, sizeof out));
  machine.kill(1);  // a kernel that died leaves its memory readable
  EXPECT_TRUE(node.read_remote(SimMachine::address(1, 56), &out, sizeof out));
  machine.fail_memory(1);
  EXPECT_FALSE(node.read_remote(SimMachine::address(1, 56), &out, sizeof out));
  SipsMessage message;
  EXPECT_EQ(node.receive(1, message), SipsReceived::unreadable);
}

}  // namespace
}  // namespace hive::machine
