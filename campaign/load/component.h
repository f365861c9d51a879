// What every component is to main.cpp: something that does steps, and stops and looks when told.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <hive/hive.h>

#include "campaign/load/event_log.h"
#include "campaign/plan/plan.h"
#include "campaign/plan/random.h"

namespace hive::campaign {

struct Setting {
  const Plan& plan;
  const ComponentPlan& self;
  Session& session;
  EventLog& log;
  std::uint64_t life = 1;         // how often this component was started
  std::uint64_t incarnation = 1;  // of its own cell
  Random random;
};

class Component {
 public:
  explicit Component(Setting& setting) : setting_(setting) {}
  Component(const Component&) = delete;
  Component& operator=(const Component&) = delete;
  virtual ~Component() = default;

  // Makes what others wait for. Errors: whatever stands in the way; the component ends then.
  virtual Result<void> prepare() { return {}; }
  virtual void step() = 0;
  virtual void audit(std::uint64_t fault) = 0;
  // `incarnations` of the cells; 0 for one that is not there.
  virtual void go(const std::vector<std::uint64_t>& incarnations) = 0;

 protected:
  const Plan& plan() const { return setting_.plan; }
  const ComponentPlan& self() const { return setting_.self; }
  Session& session() { return setting_.session; }
  EventLog& log() { return setting_.log; }
  Random& random() { return setting_.random; }
  std::uint64_t life() const { return setting_.life; }
  Setting& setting_;
};

std::unique_ptr<Component> make_worker(Setting& setting);
std::unique_ptr<Component> make_witness(Setting& setting);
std::unique_ptr<Component> make_dependent(Setting& setting);
std::unique_ptr<Component> make_filer(Setting& setting);

}  // namespace hive::campaign
