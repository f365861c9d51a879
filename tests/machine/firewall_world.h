// A small machine for tests of the firewall: a home and a task in processes of their own, and the
// test itself as the judge, which sees the memory through a mapping that nobody fences.
#pragma once

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "machine/layout.h"
#include "machine/linux/firewall.h"
#include "tests/machine/actor.h"

namespace hive::test {

using machine::FirewallMode;
using machine::Layout;
using machine::page_bytes;
using machine::PageRange;

inline const Layout world_layout = machine::make_layout(2, std::uint64_t{4} << 20);
inline constexpr CellId world_node = 1;

// What a routine in the task's or the home's process can use.
struct TaskSide {
  std::unique_ptr<machine::Fence> fence;
  int kernel_fd = -1;  // only when told to keep one
};
extern TaskSide task_side;

std::uint64_t page_address(std::uint32_t page);
std::uint64_t view_address(std::uint32_t at);

class World {
 public:
  explicit World(FirewallMode mode);
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World();

  // Maps the node in the task. Without `filtered` nothing refuses its memory calls.
  void map_task(bool filtered = true);

  // What the home does for the task. Each returns 0 or 1 + the error's code.
  std::int64_t give(PageRange range);  // how many pages are there, or -1 - code
  std::int64_t open(PageRange range);
  std::int64_t close(PageRange range);
  std::int64_t take_back(PageRange range);
  std::int64_t refill(PageRange range);
  void fail_memory();
  void kill_home() { home.kill(); }

  // What the task does.
  std::int64_t load(std::uint32_t page);  // a byte, or -1 on a fault
  bool store(std::uint32_t page, std::uint8_t value);
  // Around stores, as the task's library does; without effect in mode mmu.
  void begin_stores(PageRange range);
  void end_stores(PageRange range);

  // The same at addresses of the task's views; `at` is a page of these.
  std::int64_t show(std::uint32_t at, PageRange frames, bool stores = true);
  std::int64_t give_at(std::uint32_t at, std::uint32_t count);
  std::int64_t open_at(std::uint32_t at, std::uint32_t count);
  std::int64_t close_at(std::uint32_t at, std::uint32_t count);
  std::int64_t let_stores(std::uint32_t at, bool on);
  std::int64_t load_at(std::uint32_t at);
  bool store_at(std::uint32_t at, std::uint8_t value);

  // What the judge sees and does, beside every fence.
  std::uint8_t content(std::uint32_t page) const { return judge_[page * page_bytes]; }
  void put(std::uint32_t page, std::uint8_t value) { judge_[page * page_bytes] = value; }
  void fill_pages(std::uint8_t value);

  FirewallMode mode;
  Actor home;
  Actor task;
  UniqueFd kernel_fd;
  UniqueFd user_fd;

 private:
  volatile std::uint8_t* judge_ = nullptr;
};

// True if the mode can be tried on this host.
bool host_has(FirewallMode mode);
std::string mode_test_name(FirewallMode mode);

// A world in each mode that this host has, with the node mapped by the task.
class WorldTest : public testing::TestWithParam<FirewallMode> {
 protected:
  void SetUp() override {
    if (!host_has(GetParam())) {
      GTEST_SKIP() << "this host has no firewall mode " << machine::firewall_mode_name(GetParam());
    }
    world_ = std::make_unique<World>(GetParam());
    world_->map_task();
  }
  std::unique_ptr<World> world_;
};

}  // namespace hive::test
