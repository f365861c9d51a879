// The machine of a campaign: booted for it, in a runtime directory of its own, by the command.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "campaign/driver/process.h"
#include "campaign/driver/target.h"

namespace hive::campaign {

using Json = nlohmann::json;

// One incarnation of a cell as Linux sees it: its kernel's process.
struct Kernel {
  int cell = 0;
  std::uint64_t incarnation = 0;
  Target process;
  std::uint64_t died_ns = 0;  // 0 while it lives
  // Seen to be killed: nothing of it runs from then on, while Linux takes it down, which needs a
  // turn of each of its threads. 0: not seen.
  std::uint64_t killed_ns = 0;
  std::uint64_t ended_ns() const {
    return died_ns == 0 || killed_ns == 0 ? died_ns : std::min(died_ns, killed_ns);
  }
};

// Notes when kernels die, by their pidfds: a fact of Linux, whatever the cells say of each other.
class DeathWatch {
 public:
  DeathWatch();
  ~DeathWatch();
  void add(Kernel kernel);
  std::vector<Kernel> all() const;
  void forget_the_dead();

 private:
  void watch(const std::stop_token& stop);
  mutable std::mutex mutex_;
  std::vector<Kernel> kernels_;  // guarded by mutex_
  std::jthread thread_;
};

struct MachineOptions {
  std::string dir;  // of the campaign; the machine's files lie below
  int cells = 4;
  std::string memory = "16M";
  std::vector<std::string> sabotage;
};

class Machine {
 public:
  static constexpr const char* name = "test-campaign";

  // Throws std::runtime_error when it can not be booted.
  explicit Machine(MachineOptions options);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();  // nothing of it is left
  // Takes down what there is of a machine whose files lie in `dir`.
  static void shut_down(const std::string& dir);

  int cells() const { return options_.cells; }
  const Words& environment() const { return environment_; }
  Words environment_of(int cell) const;
  static std::string helper(const std::string& program);  // a program of this build

  Done hive(Words arguments, std::uint64_t timeout_ns = 20'000'000'000) const;
  bool fault(Words arguments) const;
  Json fault_json(Words arguments) const;  // null when it was refused
  Json status() const;                     // null when nobody answers
  Json frames() const;                     // what each cell has counted; an array
  Json boot_record() const;
  int monitor_pid() const;
  // The processes behind it; invalid when they are not there.
  Target monitor() const;
  Target power_process(int cell) const;
  bool is_kernel(const Words& words, int cell) const;

  // Notes the kernels that are up now; those that died since are forgotten.
  void note_kernels(const Json& status);
  Kernel kernel(int cell) const;  // the newest that was noted
  std::vector<Kernel> kernels() const { return deaths_.all(); }
  bool has_died(int cell) const { return kernel(cell).died_ns != 0; }
  void watch(Kernel kernel) { deaths_.add(std::move(kernel)); }

  // The incarnation of each cell; 0 for one that is not up.
  std::vector<std::uint64_t> incarnations() const;
  std::string error_file() const { return options_.dir + "/errors"; }

 private:
  static Words environment_in(const std::string& dir);

  const MachineOptions options_;
  const Words environment_;
  DeathWatch deaths_;
};

}  // namespace hive::campaign
