// Makes the faults happen, each with the real thing: signals, the command's own faults, tasks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "campaign/driver/load.h"
#include "campaign/plan/kinds.h"
#include "campaign/plan/random.h"

namespace hive::campaign {

struct Injection {
  bool activated = false;   // it has taken effect: only then it counts
  std::uint64_t at_ns = 0;  // just before
  bool reboot_after =
      false;  // the targets carry a fault that may show later: not into the next one
  bool in_next_life = false;  // it takes effect when a target comes back
  std::vector<int> must_die;  // also when it has not taken effect as it was meant to
  Json details = Json::object();
};

class Injector {
 public:
  Injector(const Plan& plan, Machine& machine, Load& load)
      : plan_(plan), machine_(machine), load_(load) {}

  // Blocks until the fault is there. Throws std::runtime_error when it can not be made at all.
  Injection inject(const Fault& fault);

 private:
  void hit(const Fault& fault, Random& random, Injection& injection);
  bool kill_kernels(const std::vector<int>& cells, int signal);
  bool hang(int cell, const std::string& how);
  // injector_more.cpp
  bool kill_in_recovery(const Fault& fault, Random& random);
  bool kill_beside_a_slow_one(const Fault& fault, Random& random);
  bool kill_in_comeback(const Fault& fault, Random& random);
  bool kill_monitor();
  bool suspend(Random& random);
  bool kill_task(const Fault& fault, Injection& injection);
  bool hog(const Fault& fault, const std::string& what);
  bool vandalize(const Fault& fault, const std::string& what, Injection& injection);

  // injector_cells.cpp
  std::uint64_t noticed_by_others(int cell) const;
  bool await_death(int cell) const;
  bool is_noticed(int cell, std::uint64_t before) const;
  std::uint64_t voted_down_by(int cell) const;
  void make_calls_to(int cell) const;
  bool kill_while_it_decides(const Fault& fault, Injection& injection);
  bool kill_at(const Fault& fault, const std::string& point, Random& random, Injection& injection);
  bool corrupt(const Fault& fault, const std::string& structure, Random& random,
               Injection& injection);
  bool send_garbage(const Fault& fault, Random& random, Injection& injection);
  bool accuse(const Fault& fault, Random& random);
  bool fail_disk(const Fault& fault, const std::string& how, Random& random);
  std::uint64_t refused_by_disk(int cell) const;
  bool store_wildly(const Fault& fault, const std::string& what, Injection& injection);

  const Plan& plan_;
  Machine& machine_;
  Load& load_;
  std::uint64_t vandals_ = 0;
};

}  // namespace hive::campaign
