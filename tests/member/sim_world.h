// One simulated machine of cells under one schedule of faults: MemberCore on every node, boards in
// the nodes' memories, time and everything that happens decided by a seed.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cell/member/member_core.h"
#include "machine/sim/sim_machine.h"
#include "sim_judge.h"

namespace hive::test {

struct ScheduleOptions {
  std::uint64_t seed = 1;
  int cells = 0;  // 0: drawn, 2 to 6
  cell::MemberSabotage sabotage;
  bool trace = false;  // to standard output
};

// Runs one schedule. Returns what was violated, or nothing.
std::optional<std::string> run_schedule(const ScheduleOptions& options, Coverage* coverage);

class World {
 public:
  World(const ScheduleOptions& options, Coverage* coverage);
  ~World();
  std::optional<std::string> run();

 private:
  struct Node;
  enum class FaultKind : std::uint8_t {
    kill,
    kill_in_phase,
    hang,
    pause,
    starve,
    accuse,
    lie,
    count_
  };

  Node& node(CellId cell) { return *nodes_[static_cast<std::size_t>(cell)]; }
  void boot_all();
  void plan_faults();
  void apply(FaultKind kind, CellId victim);
  void kill(CellId cell, const char* why, bool deserved);

  void tick(CellId cell);
  void after_input(CellId cell);
  void publish(CellId cell);
  void read_board(CellId reader, CellId from);
  void obey(CellId cell, const cell::MemberOrder& order);
  void probe(CellId cell, const cell::MemberOrder& order);
  void fence(CellId cell, const cell::MemberOrder& order);
  void attach(CellId cell, CellId to, std::uint64_t incarnation);
  void reboot(CellId cell, std::uint64_t above);
  void join(CellId cell);
  void note_state(CellId cell);
  std::string describe(CellId cell);
  void judge_end();
  void say(const std::string& text);
  std::uint64_t between(std::uint64_t low_us, std::uint64_t high_us);

  const ScheduleOptions options_;
  Coverage* const coverage_;
  machine::SimRandom dice_;
  int cells_;
  machine::SimMachine machine_;
  Judge judge_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::uint64_t last_state_ = 0;
  int failures_in_recovery_ = 0;
};

}  // namespace hive::test
