#include "campaign/driver/campaign.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include "campaign/plan/clock.h"

namespace hive::campaign {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t ms_ns = 1'000'000;
constexpr std::uint64_t whole_ns_max = 40'000 * ms_ns;
// With data that is corrupt a cell may stay as it is, for all to see in its status, and in
// nobody's way: then it is rebooted.
constexpr std::uint64_t before_reboot_ns_max = 2'000 * ms_ns;
// Without a defence nobody is surprised.
constexpr std::uint64_t whole_sabotaged_ns_max = 8'000 * ms_ns;
constexpr std::uint64_t verdict_ns_max = 60'000 * ms_ns;
// What may still show of a fault that nobody has noticed so far.
constexpr std::uint64_t may_die_ns = 300 * ms_ns;
constexpr useconds_t poll_us = 10'000;

Json kernels_json(const std::vector<Kernel>& kernels) {
  Json list = Json::array();
  for (const Kernel& kernel : kernels) {
    list.push_back({{"cell", kernel.cell},
                    {"incarnation", kernel.incarnation},
                    {"died_ns", kernel.ended_ns()}});
  }
  return list;
}

}  // namespace

struct Campaign::Round {
  std::string dir;
  Plan plan;
  Machine machine;
  Load load;
  Injector injector;
  Child judge;
  std::ofstream evidence;

  Round(std::string directory, const Options& options, std::uint64_t plan_seed)
      : dir(std::move(directory)),
        plan(make_plan(plan_seed, options.cells)),
        machine({dir, options.cells, "16M", options.sabotage}),
        load(plan, machine, dir),
        injector(plan, machine, load),
        judge({machine.helper("hive-campaign-judge"), dir}, {}, dir + "/errors"),
        evidence(dir + "/evidence.jsonl") {
    std::ofstream(dir + "/plan.json") << plan_json(plan).dump(1) << '\n';
  }
};

Campaign::Campaign(Options options)
    : options_(std::move(options)), kinds_(chosen_kinds(options_.kinds, options_.cells)) {
  if (kinds_.empty()) throw std::runtime_error("--kinds names no kind that there is");
  // Crashes dump core here, as they would in earnest; the dumps go with the directory.
  const rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  ::setrlimit(RLIMIT_CORE, &unlimited);
}

Campaign::~Campaign() {
  if (options_.keep.empty() && !report_.any_escaped()) return;
  dir_.keep(rounds_);
  std::error_code error;
  const std::string& kept = options_.keep.empty() ? dir_.path() : options_.keep;
  if (!options_.keep.empty()) {
    fs::copy(dir_.path(), kept, fs::copy_options::recursive, error);
    fs::remove_all(dir_.path(), error);
  }
  fmt::print(stderr, "hive: the evidence is in {}\n", kept);
}

std::unique_ptr<Campaign::Round> Campaign::begin_round() {
  const std::string dir = fmt::format("{}/{}", dir_.path(), ++rounds_);
  fs::create_directories(dir);
  auto round = std::make_unique<Round>(dir, options_, options_.seed);
  if (!round->load.start_missing()) {
    throw std::runtime_error("the load does not start; see " + round->load.complaint());
  }
  round->load.go(0);
  return round;
}

// Every cell up in one live set, and those that had to die anew. What is told: who was seen when.
bool Campaign::wait_until_whole(Round& round, const Fault& fault, const Injection& injection,
                                Json& told) {
  const Kind& kind = *find_kind(fault.kind);
  const int monitor_before = told.value("monitor_before", -1);
  const bool wants_monitor = injection.activated && fault.kind.rfind("monitor", 0) == 0;
  const bool reboots = injection.reboot_after && injection.must_die.empty();
  const std::uint64_t deadline_ns =
      monotonic_ns() + (reboots                     ? before_reboot_ns_max
                        : options_.sabotage.empty() ? whole_ns_max
                                                    : whole_sabotaged_ns_max);
  while (interrupted() == 0) {
    bool dead = true;
    for (const int target : fault.targets) {
      const bool must = (injection.activated && kind.fate == Fate::dies) ||
                        std::ranges::find(injection.must_die, target) != injection.must_die.end();
      const std::uint64_t before =
          told["incarnations_before"][static_cast<std::size_t>(target)].get<std::uint64_t>();
      const Kernel kernel = round.machine.kernel(target);
      dead &= !must || kernel.incarnation > before || kernel.died_ns != 0;
    }
    const Json status = round.machine.status();
    bool whole = dead && status.is_object();
    for (const Json& cell : status.is_object() ? status["cells"] : Json::array()) {
      const Kernel known = round.machine.kernel(cell.value("id", -1));
      if (known.died_ns != 0 && known.incarnation == cell.value("incarnation", std::uint64_t{0})) {
        whole = false;
      }
      whole &= cell.value("state", "") == "up" && cell["epoch"] == status["epoch"] &&
               cell["live_set"].size() == status["cells"].size();
    }
    const int monitor = round.machine.monitor_pid();
    whole &= !wants_monitor || (monitor != monitor_before && monitor > 0);
    if (kind.fate == Fate::may_die && monotonic_ns() < injection.at_ns + may_die_ns) whole = false;
    if (whole) {
      for (const Json& kernel : kernels_json(round.machine.kernels())) {
        told["kernels"].push_back(kernel);
      }
      told["losses"] = status.value("losses", Json::array());
      told["whole_ns"] = monotonic_ns();
      round.machine.note_kernels(status);
      return true;
    }
    if (monotonic_ns() >= deadline_ns) {
      told["kernels"] = kernels_json(round.machine.kernels());
      told["status_after"] = status;
      return false;
    }
    ::usleep(poll_us);
  }
  return false;
}

// Whether all targets have been started anew at least so often since the fault.
bool Campaign::has_new_life(Round& round, const Fault& fault, const Json& told,
                            std::uint64_t times) const {
  const Json& before = told["incarnations_before"];
  return std::ranges::all_of(fault.targets, [&](int target) {
    const auto old = before[static_cast<std::size_t>(target)].get<std::uint64_t>();
    return round.machine.kernel(target).incarnation >= old + times;
  });
}

bool Campaign::one_fault(Round& round, const Fault& fault) {
  Json told = {{"fault", fault_json(fault)},
               {"incarnations_before", round.machine.incarnations()},
               {"monitor_before", round.machine.monitor_pid()}};
  Injection injection = round.injector.inject(fault);
  told["injected_ns"] = injection.at_ns;
  told["activated"] = injection.activated;
  told["details"] = injection.details;
  bool whole = wait_until_whole(round, fault, injection, told);
  if (injection.reboot_after && !has_new_life(round, fault, told, 1)) {
    for (const int target : fault.targets) {
      round.machine.hive(
          {"reboot", std::to_string(target), "--grace", "0", "--name", Machine::name});
    }
    injection.must_die = fault.targets;
    whole = wait_until_whole(round, fault, injection, told);
  }
  if (interrupted() != 0) return false;
  // It came back, and died on the way; else it never came to that point.
  if (injection.in_next_life) injection.activated = has_new_life(round, fault, told, 2);
  told["activated"] = injection.activated;
  told["whole"] = whole;
  if (whole) {
    round.load.order("quiet", fault.number);
    round.load.order("audit", fault.number);
    told["status_after"] = round.machine.status();
    told["frames"] = round.machine.frames();
  }
  if (interrupted() != 0) return false;
  told["incarnations_after"] = round.machine.incarnations();
  told["components"] = round.load.evidence();
  round.evidence << told.dump() << std::endl;
  round.judge.tell(told.dump());
  const auto line = round.judge.line(monotonic_ns() + verdict_ns_max);
  if (interrupted() != 0) return false;
  Json verdict = line ? Json::parse(*line, nullptr, false) : Json();
  if (!verdict.is_object()) {
    throw std::runtime_error("the judge does not answer; see " + round.dir + "/errors");
  }
  finish(fault, injection, verdict);
  if (!whole || !verdict.value("escapes", Json::array()).empty()) return false;
  if (!round.load.start_missing()) {
    if (interrupted() != 0) return false;
    finish(fault, injection,
           {{"escapes",
             {{{"what", "a component can not be started on a cell that came back"},
               {"evidence", "see " + round.dir + "/errors"}}}}});
    return false;
  }
  round.load.go(fault.number);
  return true;
}

void Campaign::finish(const Fault& fault, const Injection& injection, const Json& verdict) {
  std::string replay = fmt::format("hive campaign --seed {} --cells {} --first {} --faults 1",
                                   options_.seed, options_.cells, fault.number);
  if (!options_.kinds.empty()) replay += " --kinds " + options_.kinds;
  for (const std::string& defence : options_.sabotage) replay += " --sabotage " + defence;
  report_.add(fault.kind, injection.activated, verdict, replay);
  std::string text = fmt::format("fault {} {}", fault.number, fault.kind);
  for (const int target : fault.targets) text += fmt::format(" {}", target);
  const auto escapes = verdict.value("escapes", Json::array());
  text += !escapes.empty()      ? ": ESCAPED: " + escapes[0].value("what", "")
          : injection.activated ? ": contained"
                                : ": not activated";
  if (!options_.json) {
    fmt::print("{}\n", text);
    std::fflush(stdout);
  } else {
    fmt::print(stderr, "{}\n", text);
  }
}

int Campaign::run() {
  std::unique_ptr<Round> round;
  for (std::uint64_t i = 0; i < options_.faults && interrupted() == 0; ++i) {
    if (!round) round = begin_round();
    if (interrupted() != 0) break;
    const std::uint64_t number = options_.first + i;
    if (!one_fault(*round, plan_fault(options_.seed, number, kinds_, options_.cells))) {
      round.reset();
    }
  }
  if (round) round->load.order("end", 0);
  round.reset();
  if (interrupted() != 0) {
    fmt::print(stderr, "hive: interrupted\n");
    return 128 + interrupted();
  }
  if (options_.json) {
    fmt::print("{}\n", report_.json(options_.seed).dump(2));
  } else {
    report_.print(options_.seed);
  }
  return report_.any_escaped() ? 1 : 0;
}

}  // namespace hive::campaign
