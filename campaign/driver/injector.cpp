#include "campaign/driver/injector.h"

#include <csignal>
#include <stdexcept>

#include <unistd.h>

#include "campaign/plan/clock.h"

namespace hive::campaign {

Injection Injector::inject(const Fault& fault) {
  Random random(fault.seed);
  Injection injection;
  ::usleep(static_cast<useconds_t>(fault.delay_us));
  injection.at_ns = monotonic_ns();
  hit(fault, random, injection);
  return injection;
}

void Injector::hit(const Fault& fault, Random& random, Injection& injection) {
  const Kind* kind = find_kind(fault.kind);
  if (kind == nullptr) throw std::runtime_error("no such kind of fault: " + fault.kind);
  const std::string name = fault.kind;
  const int target = fault.targets.empty() ? -1 : fault.targets.front();
  bool& done = injection.activated;
  if (name == "kill" || name == "two" || name == "all-but-one") {
    done = kill_kernels(fault.targets, SIGKILL);
  } else if (name == "crash") {
    done = kill_kernels(fault.targets, random.one_in(2) ? SIGSEGV : SIGABRT);
  } else if (name == "power") {
    done = machine_.power_process(target).signal(SIGKILL);
  } else if (name.rfind("hang-", 0) == 0) {
    done = hang(target, kind->how);
  } else if (name == "memory") {
    done = machine_.fault({"fail-memory", std::to_string(target)});
  } else if (name == "in-recovery") {
    done = kill_in_recovery(fault, random);
  } else if (name == "slow") {
    done = kill_beside_a_slow_one(fault, random);
  } else if (name == "in-comeback") {
    done = kill_in_comeback(fault, random);
  } else if (name == "drain") {
    done = machine_.hive({"reboot", std::to_string(target), "--grace", "0", "--name",
                          Machine::name}).status == 0;
  } else if (name.rfind("disk-", 0) == 0) {
    done = fail_disk(fault, kind->how, random);
  } else if (name == "monitor") {
    done = kill_monitor();
  } else if (name == "monitor-hang") {
    done = hang(target, "stop") && kill_monitor();
  } else if (name == "suspend") {
    done = suspend(random);
  } else if (name == "task") {
    done = kill_task(fault, injection);
  } else if (name.rfind("hog-", 0) == 0) {
    done = hog(fault, kind->how);
  } else if (name.rfind("wild-task-", 0) == 0) {
    done = vandalize(fault, kind->how, injection);
  } else if (name.rfind("at-", 0) == 0) {
    done = kill_at(fault, kind->how, random, injection);
  } else if (name.rfind("corrupt-", 0) == 0) {
    done = corrupt(fault, kind->how, random, injection);
  } else if (name.rfind("wild-kernel-", 0) == 0) {
    done = store_wildly(fault, kind->how, injection);
  } else if (name == "garbage") {
    done = send_garbage(fault, random, injection);
  } else if (name == "accuse") {
    done = accuse(fault, random);
  } else {
    throw std::runtime_error("nobody knows how to make this fault: " + name);
  }
}

bool Injector::kill_kernels(const std::vector<int>& cells, int signal) {
  bool all = true;
  std::vector<Kernel> kernels;
  for (const int cell : cells) kernels.push_back(machine_.kernel(cell));
  for (const Kernel& kernel : kernels) all &= kernel.process.signal(signal);
  return all;
}

// A stop is a signal; the others the kernel has to do by itself.
bool Injector::hang(int cell, const std::string& how) {
  if (how == "stop") return machine_.kernel(cell).process.signal(SIGSTOP);
  return machine_.fault({"hang-cell", std::to_string(cell), "--how", how});
}

}  // namespace hive::campaign
