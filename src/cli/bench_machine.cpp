#include "cli/bench_machine.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <sched.h>

#include "cli/bench_program.h"
#include "cli/command.h"
#include "cli/lock_holders.h"
#include "monitor/daemon.h"
#include "monitor/host.h"
#include "monitor/sizes.h"
#include "proto/runtime_dir.h"

namespace hive::cli {
namespace {

namespace fs = std::filesystem;
using monitor::refuse;

constexpr std::uint64_t memory_bytes = std::uint64_t{64} << 20;  // of each cell
constexpr std::uint64_t measure_ns_max = 60 * ns_per_s;
constexpr int thread_highest = 1 << 22;  // Linux's own bound on process numbers

std::vector<int> threads_of(int pid) {
  std::vector<int> threads;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    const auto number = monitor::parse_number(entry.path().filename().string(), 1, thread_highest);
    if (number) threads.push_back(static_cast<int>(*number));
  }
  return threads;
}

Outcome<void> set_processors(int pid, const std::vector<int>& processors) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int processor : processors) {
    if (processor < CPU_SETSIZE) CPU_SET(static_cast<unsigned>(processor), &set);
  }
  for (const int thread : threads_of(pid)) {
    if (::sched_setaffinity(thread, sizeof set, &set) == 0 || errno == ESRCH) continue;
    return refuse(monitor::exit_failed, fmt::format("a kernel can not be kept to a processor: {}",
                                                    std::strerror(errno)));
  }
  return {};
}

// The first number of schedstat, time on a processor, is exact where ticks are not.
double thread_time_ns(int pid, int thread) {
  double ns = 0;
  std::ifstream(fmt::format("/proc/{}/task/{}/schedstat", pid, thread)) >> ns;
  return ns;
}

}  // namespace

std::vector<int> bench_processors() { return monitor::allowed_processors(); }

Outcome<BenchMachine> BenchMachine::boot(const std::string& name) {
  monitor::BootOptions options;
  options.machine = name;
  options.cells = bench_cells;
  options.memory_bytes = memory_bytes;
  options.tries = 0;  // rows about recovery have a cell die more often than is sound
  const auto booted = monitor::boot_in_background(options);
  if (!booted) return tl::unexpected(booted.error());
  BenchMachine bench(Machine{name, proto::machine_dir(name), bench_cells});
  bench.firewall_ = machine::firewall_mode_name(booted->firewall);
  return bench;
}

BenchMachine::BenchMachine(BenchMachine&& other) noexcept
    : machine_(std::exchange(other.machine_, {})), firewall_(std::move(other.firewall_)) {}

BenchMachine::~BenchMachine() {
  if (machine_.name.empty()) return;
  if (const auto done = shut_down_machine(machine_.name); !done) complain(done.error());
}

Outcome<Json> BenchMachine::ask_kernel(int cell, Json request) const {
  if (interrupted()) return tl::unexpected(interrupted_refusal());
  request["op"] = "bench";
  const Answer answer = ask_cell(machine_, cell, request, measure_ns_max);
  if (answer.asked != Asked::answered) {
    return refuse(monitor::exit_failed, fmt::format("cell {} does not answer", cell));
  }
  if (!answer.json.value("ok", false)) {
    return refuse(monitor::exit_failed, refusal_text(answer.json));
  }
  return answer.json;
}

Outcome<double> BenchMachine::measure(int cell, Json request) const {
  const auto answer = ask_kernel(cell, std::move(request));
  if (!answer) return tl::unexpected(answer.error());
  return answer->value("ns", 0.0);
}

Outcome<ProgramRun> BenchMachine::run(const std::vector<std::string>& options,
                                      const std::vector<std::string>& program) const {
  std::vector<std::string> words = {monitor::helper_program("hive"), "run", "--name",
                                    machine_.name};
  words.insert(words.end(), options.begin(), options.end());
  words.push_back("--");
  words.insert(words.end(), program.begin(), program.end());
  return run_program(words);
}

Outcome<double> BenchMachine::run_task(int cell, const std::vector<std::string>& program) const {
  auto done = run({"--cell", std::to_string(cell)}, program);
  if (!done) return tl::unexpected(done.error());
  return number_in(*done, program.front());
}

Outcome<int> BenchMachine::kernel_pid(int cell) const {
  const auto status = ask_any(machine_, {{"op", "status"}});
  if (!status) return tl::unexpected(status.error());
  for (const Json& entry : list_of(*status, "cells")) {
    if (number_of(entry, "id", -1) == cell) return static_cast<int>(number_of(entry, "pid"));
  }
  return refuse(monitor::exit_failed, fmt::format("cell {} is not known", cell));
}

Outcome<void> BenchMachine::pin_kernel(int cell, const std::vector<int>& processors) const {
  const auto pid = kernel_pid(cell);
  if (!pid) return tl::unexpected(pid.error());
  return set_processors(*pid, processors);
}

Outcome<void> BenchMachine::unpin_kernels() const {
  const auto sets = monitor::share_processors(monitor::allowed_processors(), machine_.cells);
  for (int cell = 0; cell < machine_.cells; ++cell) {
    if (auto done = pin_kernel(cell, sets[static_cast<std::size_t>(cell)]); !done) return done;
  }
  return {};
}

double BenchMachine::processor_time_ns() const {
  double sum = 0;
  for (const int pid : lock_holders(proto::lock_file(machine_.dir))) {
    for (const int thread : threads_of(pid)) sum += thread_time_ns(pid, thread);
  }
  return sum;
}

}  // namespace hive::cli
