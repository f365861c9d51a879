#include "campaign/load/vandal.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>

#include "campaign/load/home.h"
#include "campaign/plan/events.h"

namespace hive::campaign {
namespace {

// What the boot record says of the machine's addresses.
struct Addresses {
  std::uint64_t base = 0;
  std::uint64_t stride = 0;
  std::uint64_t kernel_bytes = 0;
  std::uint64_t user_bytes = 0;

  std::uint64_t kernel(int cell) const { return base + static_cast<std::uint64_t>(cell) * stride; }
  std::uint64_t user(int cell) const { return kernel(cell) + kernel_bytes; }
};

Addresses read_addresses() {
  const char* root = std::getenv("HIVE_RUNTIME_DIR");
  const char* machine = std::getenv("HIVE_MACHINE");
  Addresses addresses;
  if (root == nullptr || machine == nullptr) return addresses;
  std::ifstream file(std::string(root) + "/" + machine + "/machine.json");
  const Json record = Json::parse(file, nullptr, false);
  if (!record.is_object()) return addresses;
  const Json layout = record.value("layout", Json::object());
  addresses.base = layout.value("base", std::uint64_t{0});
  addresses.stride = layout.value("stride", std::uint64_t{0});
  addresses.kernel_bytes = layout.value("kernel_bytes", std::uint64_t{0});
  addresses.user_bytes = layout.value("user_bytes", std::uint64_t{0});
  return addresses;
}

const char* aimed_class = "";
std::uint64_t aimed_address = 0;
EventLog* blocked_log = nullptr;

// Ours comes after libhive's, which has told the cell; then the task ends as it would without us.
void on_blocked(int signal) {
  if (blocked_log != nullptr) {
    blocked_log->note("{} {} {}", event::blocked, aimed_class, aimed_address);
  }
  std::signal(signal, SIG_DFL);
  ::raise(signal);
}

}  // namespace

int run_vandal(Setting& setting, const std::vector<std::uint64_t>& incarnations, int home_cell,
               const std::string& what) {
  const Plan& plan = setting.plan;
  Home home;
  home.cell = home_cell;
  if (auto opened = open_home(setting.session, plan, home,
                              incarnations[static_cast<std::size_t>(home_cell)], false, false);
      !opened) {
    std::fprintf(stderr, "vandal: %s\n", opened.error().message().c_str());
    return 2;
  }
  const std::uint64_t area = plan.area_first_page(plan.vandal_area()) * page_size;
  Segment& segment = home.of(SegmentKind::plain);
  setting.log.note("{} {} {} 0", event::resetting, home.cell, home.incarnation);
  if (!segment.reset(area, Plan::area_pages * page_size)) return 2;
  setting.log.note("{} {} {} 0", event::reset, home.cell, home.incarnation);
  const std::uint64_t round = setting.life << 32;
  setting.log.note("{} {} {} 0 0 1 {}", event::opening, home.cell, home.incarnation, round);
  auto window = segment.write(area, page_size);
  if (!window) return 2;
  setting.log.note("{} {} {} 0 0 1 {}", event::opened, home.cell, home.incarnation, round);

  // Given for reading, so that it is the protection that stops a store, not the page's absence.
  if (!segment.touch(0, segment.size())) return 2;
  const Addresses at = read_addresses();
  const int own = setting.session.cell();
  Random& random = setting.random;
  const auto word_in = [&](std::uint64_t begin, std::uint64_t bytes) {
    return begin + random.below(bytes / 8) * 8;
  };
  const auto segment_begin = reinterpret_cast<std::uint64_t>(segment.data());
  const std::map<std::string, std::uint64_t> targets = {
      {"own-kernel", word_in(at.kernel(own), at.kernel_bytes)},
      {"own-user", word_in(at.user(own), at.user_bytes)},
      {"foreign-kernel", word_in(at.kernel(home_cell), at.kernel_bytes)},
      // Of the same segment, closed: half of the time the page right beside the open one.
      {"foreign-closed", random.one_in(2) ? word_in(segment_begin + area + page_size, page_size)
                                          : word_in(segment_begin, area)},
      {"foreign-open", word_in(segment_begin + area, page_size)},
      {"unmapped", word_in(at.user(home_cell) + at.user_bytes + page_size, 64 * page_size)},
  };
  const auto found = targets.find(what);
  if (found == targets.end() || at.base == 0) return 2;
  aimed_class = found->first.c_str();
  aimed_address = found->second;
  blocked_log = &setting.log;
  setting.log.note("{} {} {}", event::aim, what, aimed_address);
  *reinterpret_cast<volatile std::uint64_t*>(aimed_address) = ~setting.random.next();
  setting.log.note("{} {} {}", event::stored, what, aimed_address);
  ::raise(SIGKILL);  // in the open window: what it stored there must never be seen
  return 2;
}

void catch_blocked_stores() {
  std::signal(SIGBUS, &on_blocked);
  std::signal(SIGSEGV, &on_blocked);
}

}  // namespace hive::campaign
