// The load as the driver has it: the processes of the components, and what they answered.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "campaign/driver/machine.h"
#include "campaign/driver/target.h"
#include "campaign/plan/plan.h"

namespace hive::campaign {

class Load {
 public:
  struct Part {
    const ComponentPlan* plan = nullptr;
    std::uint64_t life = 0;
    std::uint64_t incarnation = 0;  // of its cell
    Target task;                    // its process
    bool answered = true;           // the last order
    std::unique_ptr<Child> child;
  };

  Load(const Plan& plan, Machine& machine, std::string dir);

  // Starts every component that does not run. False when one does not get ready.
  bool start_missing();
  // Sends an order to all that run, and waits until each has answered or ended.
  void order(const std::string& what, std::uint64_t fault);
  void go(std::uint64_t fault);

  std::vector<Part>& parts() { return parts_; }
  Part& part(const std::string& name);
  std::string log_of(const Part& part) const;
  // What the judge is to know of each, as of now; and of further logs (vandals).
  Json evidence();
  void add_log(const std::string& name, std::uint64_t life, int status);
  // What starts the load's program with these arguments: as a process of anybody's, or on a cell.
  Words command(const Words& arguments) const;
  Words command_on(int cell, const Words& arguments) const;
  const std::string& dir() const { return dir_; }
  std::string complaint() const;

 private:
  void start(Part& part);
  void send(const std::string& line);
  void collect(const std::string& answer, std::uint64_t deadline_ns);

  Machine& machine_;
  const std::string dir_;
  std::vector<Part> parts_;
  Json others_ = Json::array();
};

}  // namespace hive::campaign
