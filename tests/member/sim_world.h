// One simulated machine of cells under one schedule of faults: MemberCore on every node, boards in
// the nodes' memories, time and everything that happens decided by a seed.
//
//   sim_world.cpp     the machine: ticks, boards, orders, nodes that come back
//   sim_faults.cpp    what fails when
//   sim_report.cpp    the end of a run, states reached, traces
#pragma once

#include <array>
#include <cstdint>
#include <functional>
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
  cell::MemberSabotage sabotage{};
  bool trace = false;  // to standard output
};

struct ScheduleResult {
  std::string violation;     // empty: none
  std::uint64_t digest = 0;  // of all that happened, and of the views at the end
};

// Runs one schedule; the coverage may be null.
ScheduleResult run_schedule(const ScheduleOptions& options, Coverage* coverage);

class World {
 public:
  World(const ScheduleOptions& options, Coverage* coverage);
  ~World();
  ScheduleResult run();

 private:
  struct Node;
  enum class FaultKind : std::uint8_t {
    kill, kill_in_phase, crash, order, hang, pause, starve, accuse, lie, count_
  };

  Node& node(CellId cell) { return *nodes_[static_cast<std::size_t>(cell)]; }
  void boot_all();
  CellId draw_cell() {
    return static_cast<CellId>(dice_.below(static_cast<std::uint64_t>(cells_)));
  }

  void plan_faults();
  void plan(std::uint64_t when_ns, std::function<void()> fault);
  void apply(FaultKind kind, CellId victim);
  void apply_crash(CellId victim);
  void apply_order(CellId victim);
  void apply_pause(CellId victim);
  void apply_accuse(CellId victim);
  void accuse_again(CellId accuser, CellId accused, int times);
  void apply_lie(CellId victim);
  void kill(CellId cell, const char* why, bool deserved);
  void switch_off(CellId by, CellId victim);
  bool may_be_outvoted(CellId by, CellId victim);

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

  bool is_quiet();
  bool nothing_is_promised();
  void judge_end();
  void judge_rest();
  void note_state(CellId cell);
  std::string describe(CellId cell);
  void say(const std::string& text);
  std::uint64_t between(std::uint64_t low_us, std::uint64_t high_us);
  std::uint64_t digest();

  const ScheduleOptions options_;
  Coverage* const coverage_;
  machine::SimRandom dice_;
  int cells_;
  machine::SimMachine machine_;
  Judge judge_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::uint64_t last_state_ = 0;
  int failures_in_recovery_ = 0;
  int faults_to_come_ = 0;
  CellId lone_accuser_ = -1;  // the only fault of the schedule: accuses again and again
};

}  // namespace hive::test
