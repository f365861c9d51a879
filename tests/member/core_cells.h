// For tests of the protocol by hand-made inputs: a few cores, whose boards are spread when told.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "cell/member/member_core.h"

namespace hive::cell {

inline constexpr std::uint64_t ms = 1'000'000;
using What = MemberOrder::What;

// Some cells, their boards, and what is known of their nodes. Nothing happens by itself.
struct Cells final : NodeFacts {
  explicit Cells(int count) {
    for (CellId cell = 0; cell < count; ++cell) {
      cores.push_back(std::make_unique<MemberCore>(cell, count, *this));
      cores.back()->start_first();
    }
  }
  bool is_off(CellId cell, std::uint64_t incarnation) override {
    return incarnation <= off[cell];
  }
  MemberCore& operator[](CellId cell) { return *cores[static_cast<std::size_t>(cell)]; }

  // `reader` reads the board of `from`.
  bool read(CellId reader, CellId from) {
    return (*this)[reader].read(from, (*this)[from].board(), now);
  }
  // Everybody but the dead and the silent reads all boards, until nothing new is said.
  void spread() {
    for (int round = 0; round < 8; ++round) {
      for (const auto& reader : cores) {
        for (const auto& from : cores) {
          const auto a = id(reader);
          const auto b = id(from);
          if (a != b && !silent.has(a) && !silent.has(b)) read(a, b);
        }
      }
    }
  }
  CellId id(const std::unique_ptr<MemberCore>& core) {
    return static_cast<CellId>(std::ranges::find(cores, core) - cores.begin());
  }
  // All that this cell was told to do since the last time, of one sort.
  std::vector<MemberOrder> orders(CellId cell, What what) {
    std::vector<MemberOrder> found;
    for (const MemberOrder& order : (*this)[cell].take_orders()) {
      if (order.what == what) found.push_back(order);
    }
    return found;
  }
  void die(CellId cell) {
    off[cell] = std::max<std::uint64_t>(off[cell], (*this)[cell].attached_to(cell));
    silent.add(cell);
  }
  void tell_death(CellId dead) {
    for (CellId cell = 0; cell < static_cast<CellId>(cores.size()); ++cell) {
      if (!silent.has(cell)) (*this)[cell].look(dead, now);
    }
  }
  void close_all() {
    for (const auto& core : cores) core->on_closed(core->round(), now);
  }
  void discard_all() {
    for (const auto& core : cores) core->on_discarded(core->round(), now);
  }
  void recover() {
    spread();
    close_all();
    spread();
    discard_all();
    spread();
  }
  void tick_all() {
    for (const auto& core : cores) {
      if (!silent.has(id(core))) core->on_tick(now);
    }
  }
  // A new incarnation of a dead node, attached to all others, and they to it.
  void start_anew(CellId cell, std::uint64_t incarnation) {
    silent.remove(cell);
    auto& core = cores[static_cast<std::size_t>(cell)];
    core = std::make_unique<MemberCore>(cell, static_cast<int>(cores.size()), *this);
    core->start_joining(incarnation);
    for (const auto& other : cores) {
      if (other == core || silent.has(id(other))) continue;
      core->on_attached(id(other), other->attached_to(id(other)), now);
      other->on_attached(cell, incarnation, now);
    }
  }

  std::vector<std::unique_ptr<MemberCore>> cores;
  std::map<CellId, std::uint64_t> off;  // the last incarnation that is off
  CellSet silent;                       // neither read nor are read
  std::uint64_t now = 1'000 * ms;
};

}  // namespace hive::cell
