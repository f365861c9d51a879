#include "campaign/plan/plan.h"

#include <algorithm>
#include <fstream>

#include "campaign/plan/random.h"

namespace hive::campaign {
namespace {

constexpr std::uint64_t ring_pages = 2;

// The component's own cell, and of the others each with a probability of two thirds, one at least.
std::vector<int> some_homes(Random& random, int own, int cells) {
  std::vector<int> homes = {own};
  for (int home = 0; home < cells; ++home) {
    if (home != own && !random.one_in(3)) homes.push_back(home);
  }
  if (homes.size() == 1 && cells > 1) homes.push_back((own + 1) % cells);
  return homes;
}

}  // namespace

const char* segment_kind_name(int kind) {
  constexpr const char* names[] = {"plain", "undo", "sync"};
  return kind >= 0 && kind < segment_kinds ? names[kind] : "?";
}

const char* role_name(Role role) {
  switch (role) {
    case Role::worker:
      return "worker";
    case Role::witness:
      return "witness";
    case Role::dependent:
      return "dependent";
    case Role::filer:
      return "filer";
  }
  return "?";
}

std::uint64_t Plan::segment_pages(int kind) const {
  if (kind == static_cast<int>(SegmentKind::sync)) return ring_page + ring_pages;
  return static_cast<std::uint64_t>(area_pages) * static_cast<std::uint64_t>(cells + 1);
}

const ComponentPlan* Plan::find(const std::string& name) const {
  const auto found = std::find_if(components.begin(), components.end(),
                                  [&](const ComponentPlan& c) { return c.name == name; });
  return found == components.end() ? nullptr : &*found;
}

Plan make_plan(std::uint64_t seed, int cells) {
  Random random(seed ^ 0x706c616e);
  Plan plan;
  plan.seed = seed;
  plan.cells = cells;
  for (int cell = 0; cell < cells; ++cell) {
    const std::string number = std::to_string(cell);
    plan.components.push_back({"worker" + number,
                               Role::worker,
                               cell,
                               some_homes(random, cell, cells),
                               some_homes(random, cell, cells),
                               {}});
    plan.components.push_back({"witness" + number, Role::witness, cell, {}, {}, {}});
    const int other = static_cast<int>(random.below(static_cast<std::uint64_t>(cells - 1)));
    const int depends = cells == 1 ? cell : (other >= cell ? other + 1 : other);
    plan.components.push_back({"dependent" + number, Role::dependent, cell, {}, {}, {depends}});
    plan.components.push_back({"filer" + number, Role::filer, cell, {}, {}, {}});
  }
  return plan;
}

Json plan_json(const Plan& plan) {
  Json components = Json::array();
  for (const ComponentPlan& component : plan.components) {
    components.push_back({{"name", component.name},
                          {"role", static_cast<int>(component.role)},
                          {"cell", component.cell},
                          {"writes", component.writes},
                          {"shares", component.shares},
                          {"depends", component.depends}});
  }
  return {{"seed", plan.seed}, {"cells", plan.cells}, {"components", components}};
}

Plan plan_from(const Json& json) {
  Plan plan;
  plan.seed = json.at("seed").get<std::uint64_t>();
  plan.cells = json.at("cells").get<int>();
  for (const Json& entry : json.at("components")) {
    plan.components.push_back(
        {entry.at("name").get<std::string>(), static_cast<Role>(entry.at("role").get<int>()),
         entry.at("cell").get<int>(), entry.at("writes").get<std::vector<int>>(),
         entry.at("shares").get<std::vector<int>>(), entry.at("depends").get<std::vector<int>>()});
  }
  return plan;
}

Plan read_plan(const std::string& path) {
  std::ifstream file(path);
  return plan_from(Json::parse(file));
}

std::string segment_name(int kind, int home, std::uint64_t incarnation) {
  return std::string(segment_kind_name(kind)) + "-" + std::to_string(home) + "." +
         std::to_string(incarnation);
}

}  // namespace hive::campaign
