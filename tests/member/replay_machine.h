// The machine that a trace of a model takes place on: MemberCores, whose boards others read when
// the trace says so, and the facts about the nodes.
#pragma once

#include <cstdint>
#include <istream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cell/member/member_core.h"

namespace hive::test {

class ReplayMachine {
 public:
  // Takes one step, of which the rest is read from `words`. Returns how code and model differ, or
  // nothing.
  std::string take(const std::string& step, std::istream& words);

 private:
  enum class Power : std::uint8_t { runs, hangs, off };
  struct Node final : cell::NodeFacts {
    Node(ReplayMachine& the_machine, CellId id) : machine(the_machine), self(id) {}
    bool is_off(CellId cell, std::uint64_t of_incarnation) override {
      const Node& other = machine.node(cell);
      return other.incarnation > of_incarnation || other.power == Power::off;
    }

    ReplayMachine& machine;
    const CellId self;
    Power power = Power::runs;
    std::uint64_t incarnation = 1;
    std::uint64_t now = 1'000;  // each cell has a time of its own
    std::optional<cell::MemberCore> core;
    std::vector<cell::MemberOrder> open;   // probes, fence locks, switching off: not obeyed yet
    std::vector<cell::MemberOrder> fresh;  // what the step that is being taken ordered
  };
  // What a step says about the cell that takes it.
  struct Before {
    cell::View view;
    cell::Phase phase;
  };

  Node& node(CellId cell) { return *nodes_.at(static_cast<std::size_t>(cell)); }
  void start(int cells, bool votes);
  bool take_world_step(const std::string& step, CellId cell);
  std::string take_cell_step(const std::string& step, Node& n, std::istream& words);
  std::string take_vote_step(const std::string& step, Node& n, std::istream& words);
  void take_orders(Node& n);
  std::optional<cell::MemberOrder> obey(Node& n, cell::MemberOrder::What what, CellId cell);
  std::string compare_view(Node& n, const Before& before, std::istream& words);
  std::string compare_orders(const Node& n, const Before& before) const;
  std::string compare_opinions(Node& n, std::istream& words);
  std::string rest();

  int cells_ = 0;
  bool votes_ = false;
  std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace hive::test
