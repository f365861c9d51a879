// Programs that `hive bench` runs for a figure: baselines, tasks, whole renderings.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"
#include "monitor/refusal.h"

namespace hive::cli {

// From here on SIGINT, SIGTERM and SIGHUP only end what is being waited for, so that the machine
// of the bench is shut down on the way out.
void catch_interrupts();
bool interrupted();
monitor::Refusal interrupted_refusal();

inline constexpr std::uint64_t program_timeout_ns = 120 * ns_per_s;

struct ProgramRun {
  std::string output;         // standard output
  std::uint64_t wall_ns = 0;  // from the start to the end
};
// Runs a program with nothing as its input, and waits for its end; it is killed at the deadline
// and on an interrupt. Errors: exit_failed (it can not be started, fails, takes too long),
// interrupts.
monitor::Outcome<ProgramRun> run_program(const std::vector<std::string>& words);

// The number that a program has printed. Errors: exit_failed (it is none).
monitor::Outcome<double> number_in(const ProgramRun& run, const std::string& program);
monitor::Outcome<double> run_for_number(const std::vector<std::string>& words);

}  // namespace hive::cli
