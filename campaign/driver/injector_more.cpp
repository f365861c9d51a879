// Faults that are more than one signal.

#include <csignal>

#include <unistd.h>

#include "campaign/driver/injector.h"
#include "campaign/driver/starve.h"
#include "campaign/plan/clock.h"

namespace hive::campaign {
namespace {

constexpr useconds_t starved_us = 120'000;
// As under a quota of processor time. No stop is long enough for a verdict.
constexpr useconds_t stopped_us = 20'000;
constexpr useconds_t runs_us = 1'500;
constexpr int stops = 6;
constexpr std::uint64_t second_ns = 1'000'000'000;

}  // namespace

bool Injector::kill_in_recovery(const Fault& fault, Random& random) {
  const Kernel second = machine_.kernel(fault.targets[1]);
  const Kernel first = machine_.kernel(fault.targets[0]);
  const std::uint64_t pause_us = random.below(8'000);
  if (!first.process.signal(SIGKILL)) return false;
  ::usleep(static_cast<useconds_t>(pause_us));
  return second.process.signal(SIGKILL);
}

// Dies while one of the others stands still, or gets no processor: nobody may go on before that
// one has done its part of the recovery, and it may not be taken for dead.
bool Injector::kill_beside_a_slow_one(const Fault& fault, Random& random) {
  const auto others = static_cast<std::uint64_t>(plan_.cells - 1);
  const int slow = (fault.targets[0] + 1 + static_cast<int>(random.below(others))) % plan_.cells;
  const Kernel victim = machine_.kernel(fault.targets[0]);
  const Kernel other = machine_.kernel(slow);
  if (!other.process || other.died_ns != 0) return false;
  if (random.one_in(2)) {
    other.process.signal(SIGSTOP);
    const bool killed = victim.process.signal(SIGKILL);
    for (int i = 0; i < stops; ++i) {
      ::usleep(stopped_us);
      other.process.signal(SIGCONT);
      ::usleep(runs_us);
      if (i + 1 < stops) other.process.signal(SIGSTOP);
    }
    return killed;
  }
  const Starve starve(other.process.pid());
  const bool killed = victim.process.signal(SIGKILL);
  ::usleep(starved_us);
  return killed;
}

// Dies, and again while it comes back: at a random time of its start.
bool Injector::kill_in_comeback(const Fault& fault, Random& random) {
  const Kernel first = machine_.kernel(fault.targets[0]);
  const std::uint64_t pause_us = random.below(300'000);
  if (!first.process.signal(SIGKILL)) return false;
  const std::uint64_t deadline_ns = monotonic_ns() + 20 * second_ns;
  Kernel joiner;
  joiner.cell = first.cell;
  while (!joiner.process && monotonic_ns() < deadline_ns && interrupted() == 0) {
    joiner.process = Target::find([&](const Words& words) {
      joiner.incarnation =
          std::strtoull(option_value(words, "--incarnation").c_str(), nullptr, 10);
      return machine_.is_kernel(words, first.cell) && joiner.incarnation > first.incarnation;
    });
    if (!joiner.process) ::usleep(2'000);
  }
  if (!joiner.process) return false;
  machine_.watch(joiner);
  ::usleep(static_cast<useconds_t>(pause_us));
  if (!joiner.process.signal(SIGKILL)) return false;
  // It may have been taken in just before; nobody may find the machine whole before it is gone.
  const auto is_gone = [&] {
    const Kernel now = machine_.kernel(first.cell);
    return now.incarnation > joiner.incarnation || now.died_ns != 0;
  };
  while (!is_gone() && monotonic_ns() < deadline_ns && interrupted() == 0) ::usleep(2'000);
  return true;
}

bool Injector::kill_monitor() { return machine_.monitor().signal(SIGKILL); }

// The whole machine stands still, as when the host is suspended: kernels, tasks, monitor.
bool Injector::suspend(Random& random) {
  std::vector<Target> all = {machine_.monitor()};
  for (Load::Part& part : load_.parts()) all.push_back(part.task);
  for (const Kernel& kernel : machine_.kernels()) all.push_back(kernel.process);
  const std::uint64_t pause_us = random.between(300'000, 1'200'000);
  for (const Target& target : all) target.signal(SIGSTOP);
  ::usleep(static_cast<useconds_t>(pause_us));
  for (const Target& target : all) target.signal(SIGCONT);
  return true;
}

bool Injector::kill_task(const Fault& fault, Injection& injection) {
  const std::string name = "worker" + std::to_string(fault.targets[0]);
  Load::Part& part = load_.part(name);
  injection.details["task"] = name;
  return part.task.signal(SIGKILL) && part.child->wait(monotonic_ns() + 10 * second_ns);
}

bool Injector::hog(const Fault& fault, const std::string& what) {
  const Words words = load_.command_on(fault.targets[0], {"hog", what});
  Child child(words, machine_.environment(), load_.dir() + "/errors");
  const auto line = child.line(monotonic_ns() + 20 * second_ns);
  ::usleep(100'000);  // the others get on beside it
  child.kill(SIGTERM);
  (void)child.wait(monotonic_ns() + 10 * second_ns);
  return line == "full";
}

// targets: the cell of the task, the home that it is about.
bool Injector::vandalize(const Fault& fault, const std::string& what, Injection& injection) {
  const std::uint64_t life = ++vandals_;
  Words words = load_.command_on(
      fault.targets[0],
      {"vandal", std::to_string(life), std::to_string(fault.targets[0]),
       std::to_string(fault.targets[1]), what, std::to_string(fault.seed)});
  for (const std::uint64_t incarnation : machine_.incarnations()) {
    words.push_back(std::to_string(incarnation));
  }
  const Done done = run(words, machine_.environment(), load_.dir() + "/errors", 20 * second_ns);
  load_.add_log("vandal", life, done.status);
  injection.details["class"] = what;
  injection.details["status"] = done.status;
  // It took effect if the store was tried; its log says what became of it.
  return done.status >= 128;
}

}  // namespace hive::campaign
