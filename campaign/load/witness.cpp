// A witness: measures how long nothing moved. Each round it loads from its own cell's memory, has
// its own cell store a word, and has one of the others store one; a round that ends late is a gap.

#include <thread>

#include "campaign/load/component.h"
#include "campaign/load/home.h"
#include "campaign/plan/clock.h"
#include "campaign/plan/events.h"

namespace hive::campaign {
namespace {

constexpr std::uint64_t gap_min_ns = 2'000'000;

class Witness final : public Component {
 public:
  explicit Witness(Setting& setting) : Component(setting) {
    homes_.resize(static_cast<std::size_t>(plan().cells));
    for (int cell = 0; cell < plan().cells; ++cell) {
      homes_[static_cast<std::size_t>(cell)].cell = cell;
    }
  }

  void step() override {
    ++round_;
    touch(homes_[static_cast<std::size_t>(self().cell)]);
    touch(homes_[round_ % homes_.size()]);
    const std::uint64_t now = monotonic_ns();
    if (last_ns_ != 0 && now - last_ns_ >= gap_min_ns) {
      log().note("{} {} {}", event::gap, last_ns_, now);
    }
    last_ns_ = now;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  void audit(std::uint64_t) override { last_ns_ = 0; }

  void go(const std::vector<std::uint64_t>& incarnations) override {
    for (Home& home : homes_) {
      const auto index = static_cast<std::size_t>(home.cell);
      const std::uint64_t now = index < incarnations.size() ? incarnations[index] : 0;
      home.usable = now != 0;
      if (now == 0 || now == home.incarnation) continue;
      auto opened = open_home(session(), plan(), home, now, false, false);
      if (!opened) note_error("open_home", home, opened.error());
    }
    last_ns_ = 0;
  }

 private:
  void note_error(const char* operation, Home& home, const Error& error) {
    log().note("{} {} {} {} {} {} -1", event::error, operation, home.cell, home.incarnation,
               code_name(error.code), error.cell);
    home.usable = false;
  }

  // A word of its own, so that nobody else has a window there.
  void touch(Home& home) {
    if (!home.usable) return;
    const std::uint64_t offset =
        Plan::witness_page * page_size + static_cast<std::uint64_t>(self().cell) * 64;
    if (auto word = home.sync().read_as<std::uint64_t>(offset); !word) {
      return note_error("read", home, word.error());
    }
    if (auto done = home.sync().put_as(offset, round_); !done) {
      note_error("put", home, done.error());
    }
  }

  std::vector<Home> homes_;
  std::uint64_t round_ = 0;
  std::uint64_t last_ns_ = 0;
};

}  // namespace

std::unique_ptr<Component> make_witness(Setting& setting) {
  return std::make_unique<Witness>(setting);
}

}  // namespace hive::campaign
