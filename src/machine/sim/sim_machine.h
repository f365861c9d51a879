// The simulated machine: nodes, messages and time in one process and one thread, everything that
// happens decided by a seed. The same seed, options and calls give the same run, to the last bit:
// digest() tells whether two runs were the same.
//
//   SimMachine machine({.cells = 3, .seed = seed, .flip_one_in = 50});
//   machine.on_mail(1, [&] { drain(machine.hardware(1)); });     // node 1 has been interrupted
//   machine.at(1000, 2, [&] { start_something(machine.hardware(2)); });
//   machine.at(5000, SimMachine::no_node, [&] { machine.kill(1); });
//   machine.run_until(1'000'000);
//
// Messages between a pair of nodes stay in order (a ring is a FIFO) and take a random time, so
// that those of different pairs overtake each other. Nothing here is thread-safe. Times are in
// virtual nanoseconds, which pass only from event to event.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <queue>
#include <span>
#include <vector>

#include "base/ids.h"
#include "machine/hardware.h"
#include "machine/sim/sim_random.h"
#include "machine/sips.h"

namespace hive::machine {

class SimHardware;

struct SimOptions {
  int cells = 4;
  std::uint64_t seed = 1;
  std::uint64_t delay_min_ns = 100;
  std::uint64_t delay_max_ns = 20'000;
  std::uint32_t ring_slots = sips_slots;
  std::size_t memory_bytes = 4096;  // of each node
  // Faults of messages: one message in so many; 0 is never.
  std::uint64_t flip_one_in = 0;     // a bit is flipped before the sum is taken: SIPS passes it on
  std::uint64_t spoil_one_in = 0;    // a bit is flipped after that: SIPS rejects the message
  std::uint64_t drop_one_in = 0;     // the message is lost
  std::uint64_t replay_one_in = 0;   // an earlier message of the pair is sent once more after it
  std::uint64_t garbage_one_in = 0;  // random bytes are sent after it
  std::uint64_t stall_one_in = 0;    // the message takes 100 times as long
};

struct SimCounters {
  std::uint64_t sent = 0;
  std::uint64_t ring_full = 0;
  std::uint64_t flipped = 0;
  std::uint64_t spoiled = 0;
  std::uint64_t dropped = 0;
  std::uint64_t replayed = 0;
  std::uint64_t garbage = 0;
};

class SimMachine {
 public:
  static constexpr CellId no_node = -1;
  static constexpr std::uint64_t memory_base = 0x10'0000'0000;  // of node 0
  static constexpr std::uint64_t memory_stride = 0x1'0000'0000;

  explicit SimMachine(const SimOptions& options);
  ~SimMachine();
  SimMachine(const SimMachine&) = delete;
  SimMachine& operator=(const SimMachine&) = delete;

  Hardware& hardware(CellId node);
  std::uint64_t now_ns() const { return now_; }
  SimRandom& random() { return random_; }
  const SimCounters& counters() const { return counters_; }
  std::uint64_t digest() const { return digest_; }

  // Runs `action` at a time (not in the past) on a node: not at all if the node is dead by then,
  // and when it goes on if it is stopped. no_node: on the outside, always.
  void at(std::uint64_t time_ns, CellId node, std::function<void()> action);
  void after(std::uint64_t delay_ns, CellId node, std::function<void()> action) {
    at(now_ + delay_ns, node, std::move(action));
  }
  // Called on the node whenever a message may be received there.
  void on_mail(CellId node, std::function<void()> handler);
  // Runs the next event. False when there is none.
  bool step();
  void run_until(std::uint64_t time_ns);

  // Faults of nodes.
  void kill(CellId node);         // its processors end; its memory can still be read
  void stop(CellId node);         // its processors stand still until resume()
  void resume(CellId node);
  void fail_memory(CellId node);  // every access to it is a bus error, and so are its rings
  // A dead node runs again, with new, zeroed memory and empty rings; nothing that was to happen on
  // it before its death happens.
  void restart(CellId node);
  bool is_dead(CellId node) const { return nodes_[index(node)].dead; }
  bool is_stopped(CellId node) const { return nodes_[index(node)].stopped; }

  // A node's own memory, and where it lies for read_remote().
  std::span<std::byte> memory(CellId node) { return nodes_[index(node)].memory; }
  static std::uint64_t address(CellId node, std::uint64_t offset) {
    return memory_base + static_cast<std::uint64_t>(node) * memory_stride + offset;
  }

  // Puts a message into a ring as if the node had sent it: for made-up ones. False: the ring is
  // full.
  bool inject(CellId from, CellId to, std::span<const std::byte> payload);

 private:
  friend class SimHardware;
  struct Letter {
    std::uint64_t visible_ns = 0;
    bool spoiled = false;
    SipsMessage message;
  };
  // The ring of one ordered pair.
  struct Pair {
    std::deque<Letter> letters;
    std::uint64_t last_visible_ns = 0;
    std::array<SipsMessage, 16> history{};  // to be replayed
    std::uint64_t history_count = 0;
  };
  struct Node {
    std::unique_ptr<SimHardware> hardware;
    std::vector<std::byte> memory;
    std::function<void()> mail;
    std::vector<std::function<void()>> held;  // events of a stopped node
    std::uint32_t life = 0;
    bool dead = false;
    bool stopped = false;
    bool memory_failed = false;
  };
  // Small, for a heap moves its events about.
  struct Event {
    std::uint64_t time_ns;
    std::uint64_t order;  // of those at the same time, the one that was put in first
    CellId node;
    std::uint32_t life;    // of the node, at the time when it was put in
    std::uint32_t action;  // index into actions_
    bool operator>(const Event& other) const {
      return time_ns != other.time_ns ? time_ns > other.time_ns : order > other.order;
    }
  };

  std::size_t index(CellId node) const;
  Pair& pair(CellId from, CellId to);
  bool send(CellId from, CellId to, std::span<const std::byte> payload);
  SipsReceived receive(CellId from, CellId to, SipsMessage& out);
  bool read(CellId reader, std::uint64_t address, void* out, std::size_t bytes);
  bool put(CellId from, CellId to, std::span<const std::byte> payload, bool spoiled);
  void flip_bit(std::span<std::byte> bytes);
  void note(std::uint64_t what);  // into the digest

  const SimOptions options_;
  SimRandom random_;
  SimCounters counters_;
  std::uint64_t now_ = 0;
  std::uint64_t events_put_ = 0;
  std::uint64_t digest_ = 0;
  std::vector<Node> nodes_;
  std::vector<Pair> pairs_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::vector<std::function<void()>> actions_;
  std::vector<std::uint32_t> free_actions_;
};

}  // namespace hive::machine
