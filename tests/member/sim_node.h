// What the parts of the simulated world know of a node.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "sim_world.h"

namespace hive::test {

inline constexpr std::uint64_t sim_us = 1'000;
inline constexpr std::uint64_t sim_ms = 1'000'000;

// What a node publishes. The small words first: they are read at every tick.
struct Published {
  std::uint64_t incarnation;
  std::uint64_t clock;
  cell::Board board;
};

struct World::Node final : cell::NodeFacts {
  Node(World& the_world, CellId the_id) : world(the_world), id(the_id) {}
  bool is_off(CellId cell, std::uint64_t of_incarnation) override {
    return world.node(cell).incarnation > of_incarnation || world.machine_.is_dead(cell);
  }
  Published& own() { return *reinterpret_cast<Published*>(world.machine_.memory(id).data()); }

  World& world;
  const CellId id;
  std::optional<cell::MemberCore> core;
  std::uint64_t incarnation = 1;
  std::array<std::uint64_t, max_cells> clocks{};  // of the others, as seen last
  std::array<int, max_cells> late{};              // for so many of our ticks they stood still
  std::uint64_t starved_until = 0;
  std::uint64_t waits_until = 0;  // for a processor: its next tick is late
  std::optional<cell::Phase> dies_in;  // killed when it shows this phase
  CellId lies_about = -1;
  cell::Board shown;  // by the protocol, when it was published last; a liar publishes another
  bool was_member = true;
  bool is_hung = false;
  bool is_accuser = false;  // its votes may be false
  bool is_suspect = false;  // may rightly be switched off
  bool is_rebooting = false;
};

}  // namespace hive::test
