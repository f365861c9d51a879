#include "campaign/driver/load.h"

#include <filesystem>
#include <stdexcept>

#include "campaign/plan/clock.h"

namespace hive::campaign {
namespace {

constexpr std::uint64_t answer_ns_max = 30'000'000'000;

std::uint64_t size_of(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? 0 : size;
}

}  // namespace

Load::Load(const Plan& plan, Machine& machine, std::string dir)
    : machine_(machine), dir_(std::move(dir)) {
  for (const ComponentPlan& component : plan.components) {
    parts_.emplace_back().plan = &component;
  }
}

Load::Part& Load::part(const std::string& name) {
  for (Part& part : parts_) {
    if (part.plan->name == name) return part;
  }
  throw std::runtime_error("the plan has no " + name);
}

std::string Load::log_of(const Part& part) const {
  return part.plan->name + "." + std::to_string(part.life) + ".log";
}

std::string Load::complaint() const { return dir_ + "/errors"; }

Words Load::command(const Words& arguments) const {
  Words words = {machine_.helper("hive-campaign-load"), dir_};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

Words Load::command_on(int cell, const Words& arguments) const {
  Words words = {machine_.helper("hive"), "run", "--name", Machine::name, "--cell",
                 std::to_string(cell),    "--"};
  const Words program = command(arguments);
  words.insert(words.end(), program.begin(), program.end());
  return words;
}

// Witnesses attach by themselves; the others are started by their cells.
void Load::start(Part& part) {
  ++part.life;
  part.answered = true;
  part.incarnation = machine_.incarnations()[static_cast<std::size_t>(part.plan->cell)];
  const Words component = {part.plan->name, std::to_string(part.life),
                           std::to_string(part.incarnation)};
  const Words words = part.plan->role == Role::witness ? command(component)
                                                       : command_on(part.plan->cell, component);
  part.child =
      std::make_unique<Child>(words, machine_.environment_of(part.plan->cell), dir_ + "/errors");
}

bool Load::start_missing() {
  std::vector<Part*> started;
  for (Part& part : parts_) {
    if (part.child && !part.child->has_ended()) continue;
    start(part);
    started.push_back(&part);
  }
  const std::uint64_t deadline_ns = monotonic_ns() + answer_ns_max;
  for (Part* part : started) {
    const auto line = part->child->line(deadline_ns);
    if (!line || line->rfind("ready ", 0) != 0) return false;
    part->task = Target::find([&](const Words& words) {
      return words.size() == 5 && base_name(words[0]) == "hive-campaign-load" &&
             words[1] == dir_ && words[2] == part->plan->name &&
             words[3] == std::to_string(part->life);
    });
    if (!part->task) return false;
  }
  return true;
}

void Load::send(const std::string& line) {
  for (Part& part : parts_) {
    part.answered = !part.child || part.child->has_ended();
    if (!part.answered) part.child->tell(line);
  }
}

void Load::collect(const std::string& answer, std::uint64_t deadline_ns) {
  for (Part& part : parts_) {
    while (!part.answered) {
      const auto line = part.child->line(deadline_ns);
      if (!line) break;  // it ended, or does not answer
      part.answered = *line == answer;
    }
    if (!part.answered) part.answered = part.child->wait(monotonic_ns() + 1'000'000'000);
  }
}

void Load::order(const std::string& what, std::uint64_t fault) {
  const std::string text = what + " " + std::to_string(fault);
  send(text);
  collect(text, monotonic_ns() + answer_ns_max);
}

void Load::go(std::uint64_t fault) {
  const std::string text = "go " + std::to_string(fault);
  std::string line = text;
  for (const std::uint64_t incarnation : machine_.incarnations()) {
    line += " " + std::to_string(incarnation);
  }
  send(line);
  collect(text, monotonic_ns() + answer_ns_max);
}

void Load::add_log(const std::string& name, std::uint64_t life, int status) {
  const std::string log = name + "." + std::to_string(life) + ".log";
  others_.push_back({{"name", name},
                     {"life", life},
                     {"log", log},
                     {"bytes", size_of(dir_ + "/" + log)},
                     {"ended", true},
                     {"answered", true},
                     {"status", status}});
}

Json Load::evidence() {
  Json list = std::exchange(others_, Json::array());
  for (Part& part : parts_) {
    const bool ended = !part.child || part.child->has_ended();
    list.push_back({{"name", part.plan->name},
                    {"life", part.life},
                    {"log", log_of(part)},
                    {"bytes", size_of(dir_ + "/" + log_of(part))},
                    {"ended", ended},
                    {"answered", part.answered},
                    {"status", ended && part.child ? exit_status(part.child->status()) : 0}});
  }
  return list;
}

}  // namespace hive::campaign
