// A component of the load, a task like any other.
//
//   hive-campaign-load DIR NAME LIFE INCARNATION                   a component of the plan in DIR
//   hive-campaign-load DIR vandal LIFE CELL HOME CLASS SEED I0 I1 ...
//   hive-campaign-load DIR hog WHAT
//   hive-campaign-load DIR names                                   makes segments, one by one
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <unistd.h>

#include "campaign/load/component.h"
#include "campaign/load/hog.h"
#include "campaign/load/orders.h"
#include "campaign/load/home.h"
#include "campaign/load/vandal.h"
#include "campaign/plan/events.h"

namespace hive::campaign {
namespace {

constexpr int quiet_wait_ms = 60'000;

int complain(const std::string& text) {
  std::fprintf(stderr, "hive-campaign-load: %s\n", text.c_str());
  return 1;
}

// Works until it is told to stop; audits and goes on when told.
void serve(Component& component, EventLog& log) {
  Orders orders;
  orders.say("ready " + std::to_string(::getpid()));
  bool running = false;
  while (true) {
    const auto order = orders.next(running ? 0 : quiet_wait_ms);
    if (!order) {
      if (running) component.step();
      continue;
    }
    if (order->what == "end") break;
    if (order->what == "quiet") {
      running = false;
      log.note("{} {}", event::quiet, order->fault);
    } else if (order->what == "audit") {
      component.audit(order->fault);
    } else if (order->what == "go") {
      component.go(order->incarnations);
      log.note("{} {}", event::go, order->fault);
      running = true;
    }
    orders.answer(*order);
  }
  log.note("{}", event::end);
}

int run_component(const Plan& plan, const std::string& dir, const std::string& name,
                  std::uint64_t life, std::uint64_t incarnation) {
  const ComponentPlan* self = plan.find(name);
  if (self == nullptr) return complain("the plan has no " + name);
  EventLog log(dir + "/" + name + "." + std::to_string(life) + ".log");
  if (!log.is_open()) return complain("no log can be written in " + dir);
  auto session = attach();
  if (!session) return complain(name + ": " + session.error().message());
  log.note("{} {} {} {}", event::begin, life, session->cell(), incarnation);
  Setting setting{plan,
                  *self,
                  *session,
                  log,
                  life,
                  incarnation,
                  Random(plan.seed ^ mix(life * 1000 + static_cast<std::uint64_t>(
                                                           self - plan.components.data())))};
  auto component = self->role == Role::worker    ? make_worker(setting)
                   : self->role == Role::witness ? make_witness(setting)
                   : self->role == Role::filer   ? make_filer(setting)
                                                 : make_dependent(setting);
  if (auto done = component->prepare(); !done) {
    return complain(name + ": " + done.error().message());
  }
  serve(*component, log);
  return 0;
}

int vandalize(const Plan& plan, const std::vector<std::string>& words) {
  const std::uint64_t life = std::stoull(words[2]);
  EventLog log(words[0] + "/vandal." + std::to_string(life) + ".log");
  if (!log.is_open()) return complain("no log can be written in " + words[0]);
  catch_blocked_stores();
  auto session = attach();
  if (!session) return complain("vandal: " + session.error().message());
  std::vector<std::uint64_t> incarnations;
  for (std::size_t i = 7; i < words.size(); ++i) incarnations.push_back(std::stoull(words[i]));
  const int home = std::stoi(words[4]);
  if (static_cast<std::size_t>(home) >= incarnations.size()) return complain("no such home");
  log.note("{} {} {} {}", event::begin, life, session->cell(), 0);
  const ComponentPlan nobody{};
  Setting setting{plan, nobody, *session, log, life, 0, Random(std::stoull(words[6]))};
  return run_vandal(setting, incarnations, home, words[5]);
}

// Each new name is asked for on all other cells. That one of them dies of it is what this is for.
int make_names() {
  constexpr int names = 30;
  auto session = attach();
  if (!session) return complain("names: " + session.error().message());
  for (int i = 0; i < names; ++i) {
    const std::string name = fmt::format("name-{}-{}", session->cell(), i);
    SegmentOptions options;
    options.home = session->cell();
    (void)session->create(name, page_size, options);
  }
  return 0;
}

int run(const std::vector<std::string>& words) {
  if (words.size() == 2 && words[1] == "names") return make_names();
  if (words.size() < 3) return complain("wrong usage; `hive campaign` starts it");
  if (words[1] == "hog") return run_hog(words[2]);
  const Plan plan = read_plan(words[0] + "/plan.json");
  if (words[1] == "vandal") {
    return words.size() < 8 ? complain("wrong usage of the vandal") : vandalize(plan, words);
  }
  if (words.size() != 4) return complain("wrong usage; `hive campaign` starts it");
  return run_component(plan, words[0], words[1], std::stoull(words[2]), std::stoull(words[3]));
}

}  // namespace
}  // namespace hive::campaign

int main(int argc, char** argv) {
  try {
    return hive::campaign::run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& problem) {
    return hive::campaign::complain(problem.what());
  }
}
