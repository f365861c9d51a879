// The kinds of faults, and whom each may cost its life: the one table that the driver draws from
// and the judge judges by.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "campaign/plan/plan.h"

namespace hive::campaign {

// What becomes of the cells that a fault is aimed at. All others live on, whatever the kind.
enum class Fate : int {
  dies,     // once the fault has taken effect
  may_die,  // it or the others may notice, or the fault may lie where nobody looks
  lives,
};

struct Kind {
  const char* name;
  Fate fate;
  int targets;      // cells; -1: all but one
  int cells_min;    // of the machine
  const char* how;  // what more the injection is told; of the named points and structures, too
};

const std::vector<Kind>& all_kinds();
const Kind* find_kind(const std::string& name);
// Those that a list names ("kill,hang" means every kind that begins so). Empty: nothing is so
// named.
std::vector<Kind> chosen_kinds(const std::string& list, int cells);

// A fault as it is fixed before the run.
struct Fault {
  std::uint64_t number = 0;
  std::string kind;
  std::vector<int> targets;
  std::uint64_t delay_us = 0;  // after the load has gone on
  std::uint64_t seed = 0;      // of whatever else is random in it
};
Fault plan_fault(std::uint64_t seed, std::uint64_t number, const std::vector<Kind>& kinds,
                 int cells);

Json fault_json(const Fault& fault);
Fault fault_from(const Json& json);  // throws Json::exception

}  // namespace hive::campaign
