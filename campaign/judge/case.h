// One fault while it is being judged.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "campaign/judge/judge.h"

namespace hive::campaign {

struct Judge::Case {
  Evidence evidence;
  std::set<HomeKey> dead;  // incarnations of cells
  std::set<int> dead_cells;
  std::set<int> ended_writers;  // workers by their cells, and the vandal
  // Areas that were lost before this fault, by home and writer: until when, as far as is known.
  std::map<std::pair<HomeKey, int>, std::uint64_t> lost_until;
  std::set<int> ended_filers;  // by their cells
  Json escapes = Json::array();
  Json times_ms = Json::object();

  bool is_dead(int home, std::uint64_t incarnation) const {
    return dead.contains({home, incarnation});
  }
};

}  // namespace hive::campaign
