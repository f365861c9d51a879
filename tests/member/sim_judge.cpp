#include "sim_judge.h"

namespace hive::test {

using cell::is_live;
using cell::View;

void Judge::violated(const std::string& what) {
  if (violation_.empty()) violation_ = what;
}

void Judge::on_born(CellId cell, std::uint64_t incarnation) {
  Cell& c = of(cell);
  if (incarnation <= c.incarnation) {
    violated("cell " + std::to_string(cell) + " uses an incarnation again");
  }
  c = {.incarnation = incarnation, .is_alive = true};
}

void Judge::on_joined(CellId cell, const View& view) {
  of(cell).closed = of(cell).discarded = view;
}

void Judge::on_dead(CellId cell, const char* why, bool deserved) {
  of(cell).is_alive = false;
  if (!deserved) violated("cell " + std::to_string(cell) + " was sound and was " + why);
}

bool Judge::lives_in(CellId cell, const View& view) {
  return of(cell).is_alive && !of(cell).is_corrupt &&
         view[cell] == cell::live_life(of(cell).incarnation);
}

void Judge::on_closed(CellId by, const View& view) {
  Cell& c = of(by);
  for (CellId cell = 0; cell < cells_; ++cell) {
    c.closed[cell] = std::max(c.closed[cell], view[cell]);
  }
}

void Judge::on_discard(CellId by, const View& view) {
  for (CellId other = 0; other < cells_; ++other) {
    if (!lives_in(other, view)) continue;
    // A new incarnation has never had a page of those that died before it.
    for (CellId dead = 0; dead < cells_; ++dead) {
      if (is_live(view[dead]) || of(by).discarded[dead] >= view[dead]) continue;
      if (of(other).closed[dead] < view[dead]) {
        violated("cell " + std::to_string(by) + " frees what cell " + std::to_string(other) +
                 " still reaches");
      }
    }
  }
}

void Judge::on_discarded(CellId by, const View& view) {
  Cell& c = of(by);
  for (CellId cell = 0; cell < cells_; ++cell) {
    c.discarded[cell] = std::max(c.discarded[cell], view[cell]);
  }
}

void Judge::on_settled(CellId by, const View& view, std::uint64_t epoch) {
  Cell& c = of(by);
  const std::string who = "cell " + std::to_string(by);
  const auto [known, is_new] = epochs_.emplace(epoch, view);
  if (!is_new && known->second != view) {
    violated("two live sets of epoch " + std::to_string(epoch));
  }
  if (epoch <= c.epoch) violated(who + " settles an epoch that is not above its last");
  c.epoch = epoch;
  for (CellId other = 0; other < cells_; ++other) {
    const bool left_out = view[other] == cell::dead_life(of(other).incarnation);
    if (left_out && of(other).is_alive) {
      violated(who + " goes on without cell " + std::to_string(other) + ", which is not off");
    }
    if (!lives_in(other, view)) continue;
    for (CellId dead = 0; dead < cells_; ++dead) {
      if (!is_live(view[dead]) && of(other).discarded[dead] < view[dead]) {
        violated(who + " goes on before cell " + std::to_string(other) + " has discarded");
      }
    }
  }
}

void Judge::on_end(CellId cell, bool is_settled, const View& view, CellSet really_live) {
  const std::string who = "cell " + std::to_string(cell);
  if (!is_settled) return violated(who + " has not ended its recovery");
  if (view.live() != really_live) violated(who + " does not know who lives");
}

}  // namespace hive::test
