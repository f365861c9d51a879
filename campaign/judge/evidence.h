// What the judge is given after each fault, read with suspicion: the fault as it was drawn, the
// facts of Linux (which kernels and tasks ended, when, how), and the logs of the load up to then.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "campaign/plan/kinds.h"

namespace hive::campaign {

struct Event {
  std::uint64_t time_ns = 0;
  std::string what;
  std::vector<std::string> words;
  std::size_t by = 0;  // index of the component

  std::uint64_t number(std::size_t i) const;  // 0 for what is none
  int integer(std::size_t i) const { return static_cast<int>(number(i)); }
  const std::string& word(std::size_t i) const;
};

// One component as it stood when the fault was over.
struct Witnessed {
  std::string name;
  std::uint64_t life = 0;
  bool ended = false;
  bool answered = true;
  int status = 0;
  std::vector<Event> events;  // since the last fault
};

struct KernelFact {
  int cell = 0;
  std::uint64_t incarnation = 0;
  std::uint64_t died_ns = 0;
};

struct Evidence {
  Fault fault;
  bool activated = false;
  bool whole = false;
  std::uint64_t injected_ns = 0;
  std::uint64_t whole_ns = 0;
  std::vector<KernelFact> kernels;
  std::vector<Witnessed> components;
  std::string killed_task;  // a component, by the driver alone
  Json losses = Json::array();
  Json status_after;
  Json frames = Json::array();  // as each cell has counted them
};

// Reads logs on from where it was.
class EvidenceReader {
 public:
  explicit EvidenceReader(std::string dir) : dir_(std::move(dir)) {}
  // Throws Json::exception for what makes no sense.
  Evidence read(const Json& told);

 private:
  std::vector<Event> read_log(const std::string& log, std::uint64_t bytes);

  const std::string dir_;
  std::map<std::string, std::uint64_t> done_;  // bytes of each log
};

}  // namespace hive::campaign
