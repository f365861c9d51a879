#include "campaign/plan/kinds.h"

#include <sstream>

#include "campaign/plan/files.h"
#include "campaign/plan/random.h"

namespace hive::campaign {
namespace {

constexpr std::uint64_t delay_us_max = 150'000;

}  // namespace

const std::vector<Kind>& all_kinds() {
  static const std::vector<Kind> kinds = {
      {"kill", Fate::dies, 1, 2, ""},
      {"crash", Fate::dies, 1, 2, ""},
      {"power", Fate::dies, 1, 2, ""},
      {"hang-stop", Fate::dies, 1, 2, "stop"},
      {"hang-loop", Fate::dies, 1, 2, "loop"},
      {"hang-deadlock", Fate::dies, 1, 2, "deadlock"},
      {"memory", Fate::dies, 1, 2, ""},
      {"slow", Fate::dies, 1, 3, ""},
      {"two", Fate::dies, 2, 3, ""},
      {"all-but-one", Fate::dies, -1, 3, ""},
      {"in-recovery", Fate::dies, 2, 3, ""},
      {"in-comeback", Fate::dies, 1, 2, ""},
      {"drain", Fate::dies, 1, 2, ""},
      {"disk-full", Fate::lives, 1, 1, "full"},
      {"disk-io", Fate::lives, 1, 1, "io"},
      {"monitor", Fate::lives, 0, 1, ""},
      {"monitor-hang", Fate::dies, 1, 3, ""},
      {"suspend", Fate::lives, 0, 1, ""},
      {"task", Fate::lives, 1, 1, ""},
      {"hog-descriptors", Fate::lives, 1, 1, "descriptors"},
      {"hog-processes", Fate::lives, 1, 1, "processes"},
      {"hog-memory", Fate::lives, 1, 1, "memory"},
      {"wild-task-own-kernel", Fate::lives, 2, 2, "own-kernel"},
      {"wild-task-own-user", Fate::lives, 2, 2, "own-user"},
      {"wild-task-foreign-kernel", Fate::lives, 2, 2, "foreign-kernel"},
      {"wild-task-foreign-closed", Fate::lives, 2, 2, "foreign-closed"},
      {"wild-task-foreign-open", Fate::lives, 2, 2, "foreign-open"},
      {"wild-task-unmapped", Fate::lives, 2, 2, "unmapped"},
      {"at-rpc-serve", Fate::dies, 1, 2, "rpc-serve"},
      {"at-firewall-open", Fate::dies, 1, 2, "firewall-open"},
      {"at-firewall-close", Fate::dies, 1, 2, "firewall-close"},
      {"at-window-commit", Fate::dies, 1, 2, "window-commit"},
      {"at-task-start", Fate::dies, 1, 2, "task-start"},
      {"at-file-step", Fate::dies, 1, 2, "file-step"},
      {"at-write-back", Fate::dies, 1, 2, "write-back"},
      {"at-reclaim", Fate::dies, 1, 2, "reclaim"},
      {"at-file-sync", Fate::dies, 1, 2, "file-sync"},
      {"at-file-open", Fate::dies, 1, 2, "file-open"},
      {"at-file-close", Fate::dies, 1, 2, "file-close"},
      {"at-rename-named", Fate::dies, 1, 2, "rename-named"},
      {"at-flush", Fate::dies, 1, 2, "flush"},
      {"at-frame-loan", Fate::dies, 1, 2, "frame-loan"},
      {"at-frame-borrow", Fate::dies, 1, 2, "frame-borrow"},
      {"at-frame-return", Fate::dies, 1, 2, "frame-return"},
      {"at-alert", Fate::dies, 2, 3, "alert"},
      {"at-vote", Fate::dies, 2, 3, "vote"},
      {"at-vote-shown", Fate::dies, 2, 3, "vote-shown"},
      {"at-power-off", Fate::dies, 2, 3, "power-off"},
      {"at-decide", Fate::dies, 2, 4, "decide"},
      {"at-recovery-begin", Fate::dies, 2, 3, "recovery-begin"},
      {"at-recovery-closed", Fate::dies, 2, 3, "recovery-closed"},
      {"at-recovery-discard", Fate::dies, 2, 3, "recovery-discard"},
      {"at-recovery-discarded", Fate::dies, 2, 3, "recovery-discarded"},
      {"at-recovery-settled", Fate::dies, 2, 3, "recovery-settled"},
      {"at-join-admit", Fate::dies, 2, 3, "join-admit"},
      {"at-join-memory-test", Fate::dies, 1, 2, "join-memory-test"},
      {"at-join-attach", Fate::dies, 1, 2, "join-attach"},
      {"at-join-announce", Fate::dies, 1, 2, "join-announce"},
      {"at-join-taken", Fate::dies, 1, 2, "join-taken"},
      {"corrupt-header", Fate::may_die, 1, 3, "header"},
      {"corrupt-clock", Fate::may_die, 1, 3, "clock"},
      {"corrupt-sleepers", Fate::may_die, 1, 3, "sleepers"},
      {"corrupt-live-set", Fate::may_die, 1, 3, "live-set"},
      {"corrupt-lifelines", Fate::may_die, 1, 3, "lifelines"},
      {"corrupt-root", Fate::may_die, 1, 3, "root"},
      {"corrupt-board", Fate::may_die, 1, 3, "board"},
      {"corrupt-home", Fate::may_die, 1, 3, "home"},
      {"corrupt-names", Fate::may_die, 1, 3, "names"},
      {"corrupt-windows", Fate::may_die, 1, 3, "windows"},
      {"corrupt-blocked", Fate::may_die, 1, 3, "blocked"},
      {"corrupt-tasks", Fate::may_die, 1, 3, "tasks"},
      {"corrupt-messages", Fate::may_die, 1, 3, "messages"},
      {"corrupt-indices", Fate::may_die, 1, 3, "indices"},
      {"corrupt-replies", Fate::may_die, 1, 3, "replies"},
      {"corrupt-locks", Fate::may_die, 1, 3, "locks"},
      {"corrupt-tags", Fate::may_die, 1, 3, "tags"},
      {"corrupt-heap", Fate::may_die, 1, 3, "heap"},
      {"corrupt-frames", Fate::may_die, 1, 3, "frames"},
      {"corrupt-pfdats", Fate::may_die, 1, 3, "pfdats"},
      {"corrupt-cache", Fate::may_die, 1, 3, "cache"},
      {"corrupt-cache-entries", Fate::may_die, 1, 3, "cache-entries"},
      {"corrupt-cache-chains", Fate::may_die, 1, 3, "cache-chains"},
      {"garbage", Fate::may_die, 1, 3, ""},
      {"accuse", Fate::may_die, 1, 3, ""},
      {"wild-kernel-own-kernel", Fate::may_die, 1, 2, "own-kernel"},
      {"wild-kernel-own-user", Fate::may_die, 1, 2, "own-user"},
      {"wild-kernel-foreign-kernel", Fate::dies, 1, 2, "foreign-kernel"},
      {"wild-kernel-foreign-closed", Fate::dies, 1, 2, "foreign-closed"},
      {"wild-kernel-unmapped", Fate::dies, 1, 2, "unmapped"},
  };
  return kinds;
}

const Kind* find_kind(const std::string& name) {
  for (const Kind& kind : all_kinds()) {
    if (name == kind.name) return &kind;
  }
  return nullptr;
}

std::vector<Kind> chosen_kinds(const std::string& list, int cells) {
  std::vector<std::string> wanted;
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) wanted.push_back(word);
  std::vector<Kind> chosen;
  for (const Kind& kind : all_kinds()) {
    if (kind.cells_min > cells) continue;
    bool is_wanted = wanted.empty();
    for (const std::string& word : wanted) {
      const std::string name = kind.name;
      is_wanted |= name == word || name.rfind(word + "-", 0) == 0;
    }
    if (is_wanted) chosen.push_back(kind);
  }
  return chosen;
}

Fault plan_fault(std::uint64_t seed, std::uint64_t number, const std::vector<Kind>& kinds,
                 int cells) {
  Random random(mix(seed) ^ mix(number + 1));
  Fault fault;
  fault.number = number;
  // Every kind in turn, so that a short campaign has them all; who comes when, the seed says.
  const std::uint64_t turn = number / kinds.size();
  Random order(mix(seed ^ 0x6b696e64) ^ turn);
  const auto drawn = order.draw(static_cast<int>(kinds.size()), static_cast<int>(kinds.size()));
  const Kind& kind = kinds[static_cast<std::size_t>(drawn[number % kinds.size()])];
  fault.kind = kind.name;
  fault.targets = random.draw(kind.targets < 0 ? cells - 1 : kind.targets, cells);
  if (fault.kind == "at-join-admit") {  // the recovery master, and who is taken in
    fault.targets = {fault.targets[1] == 0 ? 1 : 0, fault.targets[1]};
  }
  if (fault.kind.rfind("at-frame-", 0) == 0) {
    const bool borrows = fault.kind == "at-frame-borrow";
    if (needs_frames(fault.targets[0]) != borrows) fault.targets[0] ^= 1;
    if (fault.targets[0] >= cells) fault.targets[0] = 1;  // of an odd number: one that borrows
  }
  fault.delay_us = random.between(1'000, delay_us_max);
  fault.seed = random.next();
  return fault;
}

Json fault_json(const Fault& fault) {
  return {{"number", fault.number},
          {"kind", fault.kind},
          {"targets", fault.targets},
          {"delay_us", fault.delay_us},
          {"seed", fault.seed}};
}

Fault fault_from(const Json& json) {
  Fault fault;
  fault.number = json.at("number").get<std::uint64_t>();
  fault.kind = json.at("kind").get<std::string>();
  fault.targets = json.at("targets").get<std::vector<int>>();
  fault.delay_us = json.at("delay_us").get<std::uint64_t>();
  fault.seed = json.at("seed").get<std::uint64_t>();
  return fault;
}

}  // namespace hive::campaign
