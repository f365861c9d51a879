#include "campaign/driver/machine.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <poll.h>
#include <unistd.h>

#include "campaign/plan/clock.h"

namespace hive::campaign {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t boot_ns_max = 60'000'000'000;
constexpr int watch_ms = 5;  // to see kernels that were added

// Whether SIGKILL is pending for it, or it is ending already.
bool is_killed(int pid) {
  const std::string text = read_of_process(pid, "status");
  for (const char* pending : {"SigPnd:\t", "ShdPnd:\t"}) {
    const auto at = text.find(pending);
    if (at == std::string::npos) continue;
    const auto signals = std::strtoull(text.c_str() + at + std::strlen(pending), nullptr, 16);
    if ((signals >> (SIGKILL - 1) & 1) != 0) return true;
  }
  return text.find("State:\tZ") != std::string::npos;
}

int parent_of(int pid) {
  const std::string text = read_of_process(pid, "stat");
  const auto after = text.rfind(')');
  if (after == std::string::npos || text.size() < after + 4) return -1;
  return std::atoi(text.c_str() + after + 4);
}

}  // namespace

DeathWatch::DeathWatch() : thread_([this](std::stop_token stop) { watch(stop); }) {}
DeathWatch::~DeathWatch() { thread_.request_stop(); }

void DeathWatch::add(Kernel kernel) {
  const std::scoped_lock lock(mutex_);
  kernels_.push_back(std::move(kernel));
}

std::vector<Kernel> DeathWatch::all() const {
  const std::scoped_lock lock(mutex_);
  return kernels_;
}

void DeathWatch::forget_the_dead() {
  const std::scoped_lock lock(mutex_);
  std::erase_if(kernels_, [](const Kernel& kernel) { return kernel.died_ns != 0; });
}

void DeathWatch::watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const std::vector<Kernel> kernels = all();
    std::vector<pollfd> waits;
    for (const Kernel& kernel : kernels) {
      waits.push_back({kernel.died_ns == 0 ? kernel.process.pidfd()->get() : -1, POLLIN, 0});
    }
    ::poll(waits.data(), waits.size(), watch_ms);
    std::vector<bool> killed;
    for (const Kernel& kernel : kernels) {
      killed.push_back(kernel.killed_ns == 0 && kernel.died_ns == 0 &&
                       is_killed(kernel.process.pid()));
    }
    const std::uint64_t now = monotonic_ns();
    const std::scoped_lock lock(mutex_);
    for (std::size_t i = 0; i < waits.size(); ++i) {
      for (Kernel& kernel : kernels_) {
        if (kernel.process.pidfd() != kernels[i].process.pidfd()) continue;
        if (killed[i]) kernel.killed_ns = now;
        if (waits[i].revents != 0 && kernel.died_ns == 0) kernel.died_ns = now;
      }
    }
  }
}

Machine::Machine(MachineOptions options)
    : options_(std::move(options)), environment_(environment_in(options_.dir)) {
  fs::create_directories(options_.dir + "/run");
  fs::permissions(options_.dir + "/run", fs::perms::owner_all);
  Words words = {"boot",     "--name",        name,      "--cells", std::to_string(options_.cells),
                 "--memory", options_.memory, "--tries", "0"};
  for (const std::string& defence : options_.sabotage) {
    words.insert(words.end(), {"--sabotage", defence});
  }
  Done done;
  {
    // A part of a machine could not be taken down in order.
    const Undisturbed now;
    done = hive(words, boot_ns_max);
  }
  if (done.status != 0) {
    throw std::runtime_error("the machine can not be booted; see " + error_file());
  }
  note_kernels(status());
}

Machine::~Machine() { shut_down(options_.dir); }

void Machine::shut_down(const std::string& dir) {
  const Undisturbed now;
  run({helper("hive"), "shutdown", "--name", name}, environment_in(dir), dir + "/errors",
      boot_ns_max);
}

Words Machine::environment_in(const std::string& dir) {
  return {"HIVE_RUNTIME_DIR=" + dir + "/run", "XDG_STATE_HOME=" + dir + "/state",
          std::string("HIVE_MACHINE=") + name, "HIVE_TEST_MACHINE=1"};
}

Words Machine::environment_of(int cell) const {
  Words words = environment_;
  words.push_back("HIVE_CELL=" + std::to_string(cell));
  return words;
}

std::string Machine::helper(const std::string& program) {
  const fs::path own = fs::read_symlink("/proc/self/exe").parent_path() / program;
  if (fs::exists(own)) return own.string();
  // Installed: the helpers lie in libexec/hive, the command in bin.
  return (fs::read_symlink("/proc/self/exe").parent_path() / "../../bin" / program)
      .lexically_normal()
      .string();
}

Done Machine::hive(Words arguments, std::uint64_t timeout_ns) const {
  arguments.insert(arguments.begin(), helper("hive"));
  return run(arguments, environment_, error_file(), timeout_ns);
}

bool Machine::fault(Words arguments) const {
  arguments.insert(arguments.begin(), "fault");
  arguments.insert(arguments.end(), {"--name", name});
  return hive(arguments).status == 0;
}

Json Machine::fault_json(Words arguments) const {
  arguments.insert(arguments.begin(), "fault");
  arguments.insert(arguments.end(), {"--name", name, "--json"});
  const Done done = hive(arguments);
  return done.status == 0 ? Json::parse(done.output, nullptr, false) : Json();
}

Json Machine::status() const {
  const Done done = hive({"status", "--json", "--name", name});
  Json status = done.status == 0 ? Json::parse(done.output, nullptr, false) : Json();
  return status.is_object() ? status : Json();
}

Json Machine::frames() const {
  const Done done = hive({"status", "--frames", "--json", "--name", name});
  const Json told = Json::parse(done.output, nullptr, false);
  return told.is_object() ? told.value("frames", Json::array()) : Json::array();
}

Json Machine::boot_record() const {
  std::ifstream file(options_.dir + "/run/" + name + "/machine.json");
  Json record = Json::parse(file, nullptr, false);
  return record.is_object() ? record : Json::object();
}

int Machine::monitor_pid() const { return boot_record().value("monitor_pid", -1); }

bool Machine::is_kernel(const Words& words, int cell) const {
  return !words.empty() && base_name(words[0]) == "hive-cell" &&
         has_option(words, "--machine-dir", options_.dir + "/run/" + name) &&
         has_option(words, "--cell", std::to_string(cell));
}

Target Machine::monitor() const {
  return Target::pin(monitor_pid(), [](const Words& words) {
    return !words.empty() && base_name(words[0]) == "hive" &&
           (has_option(words, "--name", name) ||
            std::find(words.begin(), words.end(), "monitor") != words.end());
  });
}

// The parent of its kernel.
Target Machine::power_process(int cell) const {
  const Kernel known = kernel(cell);
  if (!known.process || known.died_ns != 0) return {};
  return Target::pin(parent_of(known.process.pid()), [](const Words& words) {
    return !words.empty() && base_name(words[0]) == "hive-node";
  });
}

void Machine::note_kernels(const Json& status) {
  if (!status.is_object()) return;
  deaths_.forget_the_dead();
  const std::vector<Kernel> known = deaths_.all();
  for (const Json& cell : status.value("cells", Json::array())) {
    Kernel kernel;
    kernel.cell = cell.value("id", -1);
    const int pid = cell.value("pid", -1);
    kernel.incarnation = cell.value("incarnation", std::uint64_t{0});
    bool is_known = cell.value("state", "") != "up";
    for (const Kernel& other : known) {
      is_known |= other.cell == kernel.cell && other.incarnation == kernel.incarnation;
    }
    if (is_known) continue;
    kernel.process =
        Target::pin(pid, [&](const Words& words) { return is_kernel(words, kernel.cell); });
    if (kernel.process) deaths_.add(std::move(kernel));
  }
}

Kernel Machine::kernel(int cell) const {
  Kernel newest;
  for (const Kernel& kernel : deaths_.all()) {
    if (kernel.cell == cell && kernel.incarnation >= newest.incarnation) newest = kernel;
  }
  return newest;
}

std::vector<std::uint64_t> Machine::incarnations() const {
  std::vector<std::uint64_t> list;
  for (int cell = 0; cell < options_.cells; ++cell) {
    const Kernel newest = kernel(cell);
    list.push_back(newest.died_ns == 0 ? newest.incarnation : 0);
  }
  return list;
}

}  // namespace hive::campaign
