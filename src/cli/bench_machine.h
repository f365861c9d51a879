// The machine that `hive bench` measures on: its own, booted for it and shut down with it.
#pragma once

#include <string>
#include <vector>

#include "cli/ask.h"
#include "cli/bench_program.h"

namespace hive::cli {

inline constexpr int bench_cells = 4;

class BenchMachine {
 public:
  // Errors: those of a boot.
  static Outcome<BenchMachine> boot(const std::string& name);
  BenchMachine(BenchMachine&& other) noexcept;
  BenchMachine& operator=(BenchMachine&&) = delete;
  ~BenchMachine();  // shuts it down

  const Machine& machine() const { return machine_; }
  const std::string& firewall() const { return firewall_; }

  // Asks a kernel for a measurement (cell/diagnostics/measure.h).
  Outcome<Json> ask_kernel(int cell, Json request) const;
  Outcome<double> measure(int cell, Json request) const;

  // `hive run` with these options. The second: on one cell, for a program that prints a number.
  Outcome<ProgramRun> run(const std::vector<std::string>& options,
                          const std::vector<std::string>& program) const;
  Outcome<double> run_task(int cell, const std::vector<std::string>& program) const;

  // Keeps the kernel of a cell to these processors; and lets all go where a boot puts them.
  Outcome<void> pin_kernel(int cell, const std::vector<int>& processors) const;
  Outcome<void> unpin_kernels() const;

  // Processor time that all processes of the machine have used so far.
  double processor_time_ns() const;

 private:
  explicit BenchMachine(Machine machine) : machine_(std::move(machine)) {}
  Outcome<int> kernel_pid(int cell) const;

  Machine machine_;
  std::string firewall_;
};

// The processors that this process may run on.
std::vector<int> bench_processors();

}  // namespace hive::cli
