// A campaign: one fault after the other on one machine, each judged before the next. A machine
// that is not whole again after a fault is given up, and the campaign goes on with another.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "campaign/driver/injector.h"
#include "campaign/driver/load.h"
#include "campaign/driver/machine.h"
#include "campaign/driver/report.h"
#include "campaign/driver/work_directory.h"

namespace hive::campaign {

struct Options {
  std::uint64_t faults = 100;
  std::uint64_t first = 0;  // number of the first fault: to replay one
  std::uint64_t seed = 1;
  std::string kinds;
  int cells = 4;
  bool json = false;
  std::string keep;  // where the evidence is left; empty: only when something escaped
  std::vector<std::string> sabotage;
};

class Campaign {
 public:
  explicit Campaign(Options options);
  ~Campaign();
  // Returns the exit status.
  int run();

 private:
  struct Round;  // a machine with its load and its judge
  std::unique_ptr<Round> begin_round();
  bool one_fault(Round& round, const Fault& fault);
  bool has_new_life(Round& round, const Fault& fault, const Json& told, std::uint64_t times) const;
  bool wait_until_whole(Round& round, const Fault& fault, const Injection& injection, Json& told);
  void finish(const Fault& fault, const Injection& injection, const Json& verdict);

  const Options options_;
  const std::vector<Kind> kinds_;
  WorkDirectory dir_;
  int rounds_ = 0;
  Report report_;
};

}  // namespace hive::campaign
