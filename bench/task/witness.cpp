#include "witness.h"

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "timing.h"

namespace bench {
namespace {

constexpr auto pause = std::chrono::microseconds(200);
constexpr int warm_rounds = 10;

// A word in a cell's memory: loaded, and stored by the cell itself, which takes a call. A home
// that has failed is not asked again.
class Home {
 public:
  Home(hive::Session& session, int cell) : segment_(make(session, cell)) {}

  void use(std::uint64_t value) {
    if (!usable_) return;
    usable_ = segment_.read_as<std::uint64_t>(0) && segment_.put_as(0, value);
  }

 private:
  static hive::Segment make(hive::Session& session, int cell) {
    hive::SegmentOptions options;
    options.home = cell;
    const std::string name =
        "witness-" + std::to_string(session.task()) + "-" + std::to_string(cell);
    return must("create", session.create(name, hive::page_size, options));
  }

  hive::Segment segment_;
  bool usable_ = true;
};

}  // namespace

int witness(int ms) {
  auto session = must("attach", hive::attach());
  std::vector<Home> homes;
  for (const hive::CellView& cell : session.cells()) {
    if (cell.up && cell.id != session.cell()) homes.emplace_back(session, cell.id);
  }
  Home own(session, session.cell());
  const double end = now_ns() + ms * 1e6;
  double first = 0;
  double last = 0;
  double gap = 0;
  for (std::uint64_t round = 0; last < end; ++round) {
    own.use(round);
    if (!homes.empty()) homes[round % homes.size()].use(round);
    const double now = now_ns();
    if (round == warm_rounds) first = now;
    if (round > warm_rounds) gap = std::max(gap, now - last);
    last = now;
    std::this_thread::sleep_for(pause);
  }
  std::printf("%.0f %.0f %.0f\n", gap, first, last);
  return 0;
}

int spin(int ms) {
  const double end = now_ns() + ms * 1e6;
  while (now_ns() < end) {
  }
  std::puts("0");
  return 0;
}

}  // namespace bench
