// A dependent: loads plainly from the memory of the cells that the plan says it depends on. When
// one of them fails, that is the end of it, with a bus error and a line that names the cell.

#include <thread>

#include "campaign/load/component.h"
#include "campaign/load/home.h"
#include "campaign/plan/events.h"

namespace hive::campaign {
namespace {

class Dependent final : public Component {
 public:
  explicit Dependent(Setting& setting) : Component(setting) {}

  void step() override {
    // The witnesses' page: nobody ever has a window there, so nothing tears it.
    for (Home& home : homes_) {
      sum_ += *static_cast<const volatile std::uint64_t*>(
          home.sync().at<std::uint64_t>(Plan::witness_page * page_size));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  // Once more, in case it had no turn since a cell failed.
  void audit(std::uint64_t) override { step(); }

  void go(const std::vector<std::uint64_t>& incarnations) override {
    if (!homes_.empty()) return;  // a home that came back is not the one it depends on
    for (const int cell : self().depends) {
      const auto index = static_cast<std::size_t>(cell);
      if (index >= incarnations.size() || incarnations[index] == 0) continue;
      Home home;
      home.cell = cell;
      auto opened = open_home(session(), plan(), home, incarnations[index], false, false);
      if (opened) {
        homes_.push_back(std::move(home));
      } else {
        log().note("{} open_home {} {} {} {} -1", event::error, cell, incarnations[index],
                   code_name(opened.error().code), opened.error().cell);
      }
    }
  }

 private:
  std::vector<Home> homes_;
  std::uint64_t sum_ = 0;
};

}  // namespace

std::unique_ptr<Component> make_dependent(Setting& setting) {
  return std::make_unique<Dependent>(setting);
}

}  // namespace hive::campaign
