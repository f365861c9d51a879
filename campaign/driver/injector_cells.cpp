// Faults that a kernel is told to make in itself: it dies at a named point, corrupts what it
// publishes, stores wildly, sends garbage, accuses falsely.

#include <csignal>

#include <unistd.h>

#include "campaign/driver/injector.h"
#include "campaign/plan/clock.h"

namespace hive::campaign {
namespace {

constexpr std::uint64_t pass_ns_max = 3'000'000'000;  // until a point is passed under the load
constexpr std::uint64_t seed_max = 1'000'000'000;

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
  const std::uint64_t skip = in_work && point != "task-start" ? random.below(20) : 0;
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
  ::usleep(250'000);
  return machine_.has_died(cell) || noticed_by_others(cell) > before;
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
  return machine_.fault({"accuse", std::to_string(by), "--accused", std::to_string(accused),
                         "--times", std::to_string(random.between(1, 3))});
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
