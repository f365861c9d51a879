// Faults that a kernel is told to make in itself: it dies at a named point, corrupts what it
// publishes, stores wildly, sends garbage, accuses falsely.

#include <algorithm>
#include <csignal>

#include <unistd.h>

#include "campaign/driver/injector.h"
#include "campaign/plan/clock.h"

namespace hive::campaign {
namespace {

constexpr std::uint64_t pass_ns_max = 3'000'000'000;  // until a point is passed under the load
constexpr std::uint64_t seed_max = 1'000'000'000;
// Each cell looks at one of the others four times a second; a vote takes its time as well.
constexpr std::uint64_t notice_ns_max = 2'000'000'000;
constexpr useconds_t notice_poll_us = 50'000;

// How often a point may be passed without harm before the target dies there: those of its work it
// passes again and again, the others a few times in a life at most.
std::uint64_t draw_skip(const std::string& point, bool in_work, Random& random) {
  // At most a few times a second under the load, or once in a life.
  if (point == "reclaim" || point == "rename-named") return random.below(3);
  if (point == "write-back" || point.rfind("file-", 0) == 0) return random.below(6);
  if (!in_work || point == "task-start" || point == "flush") return 0;
  if (point.rfind("join-", 0) == 0) return 0;
  return random.below(20);
}

std::uint64_t sum_of(const Json& counters) {
  std::uint64_t sum = 0;
  if (counters.is_number()) return counters.get<std::uint64_t>();
  if (counters.is_structured()) {
    for (const Json& part : counters) sum += sum_of(part);
  }
  return sum;
}

}  // namespace

// What all cells but one have rejected, and read that failed its checks.
std::uint64_t Injector::noticed_by_others(int cell) const {
  std::uint64_t sum = 0;
  for (int other = 0; other < plan_.cells; ++other) {
    if (other == cell) continue;
    const Json counters = machine_.fault_json({"counters", std::to_string(other)});
    if (!counters.is_object()) continue;
    sum += sum_of(counters.value("rejected", Json())) + sum_of(counters.value("careful", Json()));
  }
  return sum;
}

bool Injector::await_death(int cell) const {
  const std::uint64_t deadline_ns = monotonic_ns() + pass_ns_max;
  while (!machine_.has_died(cell) && monotonic_ns() < deadline_ns && interrupted() == 0) {
    ::usleep(1'000);
  }
  return machine_.has_died(cell);
}

// targets: who dies there; and who fails first, if the point lies in what follows that.
bool Injector::kill_at(const Fault& fault, const std::string& point, Random& random,
                       Injection& injection) {
  const std::string armed = std::to_string(fault.targets[0]);
  const bool in_work = fault.targets.size() == 1;
  const std::uint64_t skip = draw_skip(point, in_work, random);
  if (!machine_.fault({"kill-at", armed, "--point", point, "--skip", std::to_string(skip)})) {
    return false;
  }
  injection.at_ns = monotonic_ns();
  if (point.rfind("join-", 0) == 0 && point != "join-admit") {
    injection.in_next_life = true;
    return machine_.kernel(fault.targets[0]).process.signal(SIGKILL);
  }
  if (point == "task-start") {
    machine_.hive({"run", "--name", Machine::name, "--cell", armed, "--", "true"});
  } else if (point == "flush") {
    machine_.hive({"reboot", armed, "--grace", "0", "--name", Machine::name});
  } else if (point == "rpc-serve") {
    make_calls_to(fault.targets[0]);
  } else if (point == "decide") {
    return kill_while_it_decides(fault, injection);
  }
  if (!in_work) {
    const bool by_vote = point == "vote" || point == "vote-shown" || point == "alert";
    injection.must_die = {fault.targets[1]};
    machine_.kernel(fault.targets[1]).process.signal(by_vote ? SIGSTOP : SIGKILL);
  }
  if (await_death(fault.targets[0])) return true;
  machine_.fault({"kill-at", armed, "--point", "none"});
  return false;
}

// Whoever makes a segment asks all other cells whether its name is free.
void Injector::make_calls_to(int cell) const {
  const Words words = load_.command_on((cell + 1) % plan_.cells, {"names"});
  run(words, machine_.environment(), load_.dir() + "/errors", pass_ns_max);
}

// targets: who holds the fence lock, and who hangs. The votes of two decide nothing as long as the
// others do not speak: they stand still for so long.
bool Injector::kill_while_it_decides(const Fault& fault, Injection& injection) {
  std::vector<Kernel> silent;
  for (int cell = 0; cell < plan_.cells; ++cell) {
    const auto found = std::find(fault.targets.begin(), fault.targets.end(), cell);
    if (found == fault.targets.end()) silent.push_back(machine_.kernel(cell));
  }
  injection.must_die = {fault.targets[1]};
  machine_.kernel(fault.targets[1]).process.signal(SIGSTOP);
  for (const Kernel& kernel : silent) kernel.process.signal(SIGSTOP);
  const bool died = await_death(fault.targets[0]);
  for (const Kernel& kernel : silent) kernel.process.signal(SIGCONT);
  if (!died) machine_.fault({"kill-at", std::to_string(fault.targets[0]), "--point", "none"});
  return died;
}

// Whether the cell has died, or another one has noticed something, by the deadline.
bool Injector::is_noticed(int cell, std::uint64_t before) const {
  const std::uint64_t deadline_ns = monotonic_ns() + notice_ns_max;
  while (monotonic_ns() < deadline_ns && interrupted() == 0) {
    if (machine_.has_died(cell) || noticed_by_others(cell) > before) return true;
    ::usleep(notice_poll_us);
  }
  return false;
}

bool Injector::corrupt(const Fault& fault, const std::string& structure, Random& random,
                       Injection& injection) {
  const int cell = fault.targets[0];
  const std::uint64_t before = noticed_by_others(cell);
  const char* hows[] = {"word", "word", "own", "other", "off-by-one", "self"};
  Json told;
  // Not every structure has pointers; a word it has.
  for (const char* how : {hows[random.below(6)], "word"}) {
    injection.at_ns = monotonic_ns();
    told = machine_.fault_json({"corrupt", std::to_string(cell), "--structure", structure, "--how",
                                how, "--seed", std::to_string(fault.seed % seed_max)});
    injection.details["how"] = how;
    if (told.is_object()) break;
  }
  if (!told.is_object()) return false;
  injection.details["corrupted"] = told;
  // What stays in memory may be read at any time: it goes before the next fault.
  injection.reboot_after = true;
  return is_noticed(cell, before);
}

bool Injector::send_garbage(const Fault& fault, Random& random, Injection& injection) {
  const int from = fault.targets[0];
  const auto others = static_cast<std::uint64_t>(plan_.cells - 1);
  const int to = (from + 1 + static_cast<int>(random.below(others))) % plan_.cells;
  const char* hows[] = {"garbage", "replay", "truncate"};
  const std::uint64_t before = noticed_by_others(from);
  injection.details =
      machine_.fault_json({"garbage", std::to_string(from), "--to", std::to_string(to), "--how",
                           hows[random.below(3)], "--count", std::to_string(random.between(1, 50)),
                           "--seed", std::to_string(fault.seed % seed_max)});
  ::usleep(50'000);
  const bool sent = injection.details.is_object();
  if (!sent) injection.details = Json::object();
  return sent && (machine_.has_died(from) || noticed_by_others(from) > before);
}

bool Injector::accuse(const Fault& fault, Random& random) {
  const int by = fault.targets[0];
  const auto others = static_cast<std::uint64_t>(plan_.cells - 1);
  const int accused = (by + 1 + static_cast<int>(random.below(others))) % plan_.cells;
  const std::uint64_t times = random.between(1, 3);
  const std::uint64_t before = voted_down_by(by);
  if (!machine_.fault({"accuse", std::to_string(by), "--accused", std::to_string(accused),
                       "--times", std::to_string(times)})) {
    return false;
  }
  // Each comes once the last was decided; what is still to come must not fall into the audit.
  const std::uint64_t deadline_ns = monotonic_ns() + notice_ns_max;
  while (!machine_.has_died(by) && voted_down_by(by) < before + times &&
         monotonic_ns() < deadline_ns && interrupted() == 0) {
    ::usleep(notice_poll_us);
  }
  return true;
}

// How many ballots the cell has seen voted down.
std::uint64_t Injector::voted_down_by(int cell) const {
  const Json counters = machine_.fault_json({"counters", std::to_string(cell)});
  return counters.is_object() ? counters.value("alerts_voted_down", std::uint64_t{0}) : 0;
}

std::uint64_t Injector::refused_by_disk(int cell) const {
  const Json counters = machine_.fault_json({"counters", std::to_string(cell)});
  return counters.is_object() ? counters.value("refused_by_disk", std::uint64_t{0}) : 0;
}

// For a while, in which something must have met it.
bool Injector::fail_disk(const Fault& fault, const std::string& how, Random& random) {
  const int cell = fault.targets[0];
  const std::string name = std::to_string(cell);
  const std::uint64_t before = refused_by_disk(cell);
  if (!machine_.fault({"fail-disk", name, "--how", how})) return false;
  ::usleep(static_cast<useconds_t>(random.between(20'000, 400'000)));
  const std::uint64_t deadline_ns = monotonic_ns() + notice_ns_max;
  while (refused_by_disk(cell) == before && monotonic_ns() < deadline_ns && interrupted() == 0) {
    ::usleep(notice_poll_us);
  }
  const bool refused = refused_by_disk(cell) > before;
  return machine_.fault({"fail-disk", name, "--how", "none"}) && refused;
}

bool Injector::store_wildly(const Fault& fault, const std::string& what, Injection& injection) {
  const Json told = machine_.fault_json({"wild-store", std::to_string(fault.targets[0]), "--class",
                                         what, "--seed", std::to_string(fault.seed % seed_max)});
  if (!told.is_object()) return false;
  injection.details["store"] = told;
  injection.reboot_after = what.rfind("own-", 0) == 0;
  if (injection.reboot_after) return told.value("hit", false);
  return await_death(fault.targets[0]);
}

}  // namespace hive::campaign
