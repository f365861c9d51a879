#include "tests/machine/firewall_world.h"

#include <sys/mman.h>

#include "base/check.h"
#include "base/safe_copy.h"

namespace hive::test {

TaskSide task_side;

namespace {

struct HomeSide {
  std::unique_ptr<machine::NodeMemory> memory;
  std::unique_ptr<machine::FencedSpace> task;
};
HomeSide home_side;

PageRange range_of(const Exchange& e) {
  return {static_cast<std::uint32_t>(e.numbers[0]), static_cast<std::uint32_t>(e.numbers[1])};
}
std::array<std::int64_t, 4> numbers_of(PageRange range) { return {range.first, range.count}; }

template <class T>
std::int64_t code_of(const Result<T>& result) {
  return result ? 0 : 1 + static_cast<std::int64_t>(result.error().code);
}

std::int64_t create_home(Exchange& e) {
  if (!machine::reserve_machine_range(world_layout)) return 1;
  auto memory = machine::NodeMemory::create(world_layout, world_node, 7,
                                            static_cast<FirewallMode>(e.numbers[0]));
  if (!memory) {
    std::fprintf(stderr, "%s\n", memory.error().message().c_str());
    return 2;
  }
  home_side.memory = std::make_unique<machine::NodeMemory>(std::move(*memory));
  auto kernel = home_side.memory->kernel_descriptor();
  auto user = home_side.memory->user_descriptor();
  if (!kernel || !user) return 3;
  e.out.push_back(std::move(*kernel));
  e.out.push_back(std::move(*user));
  return 0;
}

std::int64_t map_in_task(Exchange& e) {
  const auto mode = static_cast<FirewallMode>(e.numbers[0]);
  if (!machine::reserve_machine_range(world_layout)) return 1;
  auto fence =
      machine::Fence::map(world_layout, world_node, std::move(e.in[0]), std::move(e.in[1]), mode);
  if (!fence) {
    std::fprintf(stderr, "%s\n", fence.error().message().c_str());
    return 2;
  }
  task_side.fence = std::make_unique<machine::Fence>(std::move(*fence));
  auto copy = task_side.fence->copy_for_home();
  if (!copy) return 3;
  if (*copy) e.out.push_back(std::move(*copy));
  return 0;
}

std::int64_t accept_task(Exchange& e) {
  UniqueFd userfault = e.in.empty() ? UniqueFd() : std::move(e.in[0]);
  home_side.task = std::make_unique<machine::FencedSpace>(
      std::move(userfault), world_layout, world_node, static_cast<FirewallMode>(e.numbers[0]));
  return 0;
}

std::int64_t arm_task(Exchange& e) {
  if (!task_side.fence->arm()) return 1;
  return e.numbers[0] != 0 ? code_of(machine::install_memory_call_filter(world_layout)) : 0;
}

std::int64_t home_give(Exchange& e) {
  auto given = home_side.task->give(range_of(e));
  return given ? *given : -1 - static_cast<std::int64_t>(given.error().code);
}
std::int64_t home_open(Exchange& e) { return code_of(home_side.task->open(range_of(e))); }
std::int64_t home_close(Exchange& e) { return code_of(home_side.task->close(range_of(e))); }
std::int64_t home_take_back(Exchange& e) {
  auto taken = home_side.memory->take_back(range_of(e));
  home_side.task->forget(range_of(e));
  return code_of(taken);
}
std::int64_t home_refill(Exchange& e) { return code_of(home_side.memory->refill(range_of(e))); }
std::int64_t home_fail(Exchange&) {
  home_side.memory->fail();
  return 0;
}

std::int64_t task_load(Exchange& e) {
  std::uint8_t value = 0;
  const auto page = static_cast<std::uint32_t>(e.numbers[0]);
  return safe_copy(&value, reinterpret_cast<void*>(page_address(page)), 1) ? value : -1;
}
std::int64_t task_store(Exchange& e) {
  const auto page = static_cast<std::uint32_t>(e.numbers[0]);
  return safe_store8(reinterpret_cast<void*>(page_address(page)),
                     static_cast<std::uint8_t>(e.numbers[1]));
}
std::int64_t task_begin(Exchange& e) {
  return code_of(task_side.fence->begin_stores(range_of(e)));
}
std::int64_t task_end(Exchange& e) { return code_of(task_side.fence->end_stores(range_of(e))); }

std::uint64_t view_of(const Exchange& e) {
  return view_address(static_cast<std::uint32_t>(e.numbers[0]));
}
std::uint32_t count_of(const Exchange& e) { return static_cast<std::uint32_t>(e.numbers[1]); }
std::int64_t task_show(Exchange& e) {
  const PageRange frames{count_of(e), static_cast<std::uint32_t>(e.numbers[2])};
  return code_of(task_side.fence->show(view_of(e), frames, e.numbers[3] != 0));
}
std::int64_t home_give_at(Exchange& e) {
  auto given = home_side.task->give_at(view_of(e), count_of(e));
  return given ? *given : -1 - static_cast<std::int64_t>(given.error().code);
}
std::int64_t home_open_at(Exchange& e) {
  return code_of(home_side.task->open_at(view_of(e), count_of(e)));
}
std::int64_t home_close_at(Exchange& e) {
  return code_of(home_side.task->close_at(view_of(e), count_of(e)));
}
std::int64_t task_let_stores(Exchange& e) {
  return code_of(task_side.fence->let_stores(view_of(e), page_bytes, e.numbers[1] != 0));
}
std::int64_t task_load_at(Exchange& e) {
  std::uint8_t value = 0;
  return safe_copy(&value, reinterpret_cast<void*>(view_of(e)), 1) ? value : -1;
}
std::int64_t task_store_at(Exchange& e) {
  return safe_store8(reinterpret_cast<void*>(view_of(e)), static_cast<std::uint8_t>(e.numbers[1]));
}

}  // namespace

std::uint64_t page_address(std::uint32_t page) {
  return world_layout.user_begin(world_node) + page * page_bytes;
}
std::uint64_t view_address(std::uint32_t at) {
  return world_layout.views_begin() + at * page_bytes;
}

World::World(FirewallMode m) : mode(m) {
  auto created = home.call(&create_home, {static_cast<std::int64_t>(mode)});
  HIVE_CHECK(created.value == 0 && created.fds.size() == 2);
  kernel_fd = std::move(created.fds[0]);
  user_fd = std::move(created.fds[1]);
  void* view = ::mmap(nullptr, world_layout.user_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                      user_fd.get(), 0);
  HIVE_CHECK(view != MAP_FAILED);
  judge_ = static_cast<volatile std::uint8_t*>(view);
  fill_pages(1);
}

World::~World() { ::munmap(const_cast<std::uint8_t*>(judge_), world_layout.user_bytes); }

void World::fill_pages(std::uint8_t value) {
  for (std::uint32_t page = 0; page < world_layout.user_pages(); ++page) put(page, value);
}

void World::map_task(bool filtered) {
  const auto number = static_cast<std::int64_t>(mode);
  auto mapped = task.call(&map_in_task, {number}, {kernel_fd.get(), user_fd.get()});
  HIVE_CHECK(mapped.value == 0 && !mapped.ended);
  std::vector<int> copies;
  for (const auto& fd : mapped.fds) copies.push_back(fd.get());
  HIVE_CHECK(home.call(&accept_task, {number}, copies).value == 0);
  HIVE_CHECK(task.run(&arm_task, {filtered ? 1 : 0}) == 0);
}

std::int64_t World::give(PageRange range) { return home.run(&home_give, numbers_of(range)); }
std::int64_t World::open(PageRange range) { return home.run(&home_open, numbers_of(range)); }
std::int64_t World::close(PageRange range) { return home.run(&home_close, numbers_of(range)); }
std::int64_t World::take_back(PageRange range) {
  return home.run(&home_take_back, numbers_of(range));
}
std::int64_t World::refill(PageRange range) { return home.run(&home_refill, numbers_of(range)); }
void World::fail_memory() { home.run(&home_fail); }

std::int64_t World::load(std::uint32_t page) { return task.run(&task_load, {page}); }
bool World::store(std::uint32_t page, std::uint8_t value) {
  return task.run(&task_store, {page, value}) == 1;
}
void World::begin_stores(PageRange range) {
  HIVE_CHECK(task.run(&task_begin, numbers_of(range)) == 0);
}
void World::end_stores(PageRange range) {
  HIVE_CHECK(task.run(&task_end, numbers_of(range)) == 0);
}

std::int64_t World::show(std::uint32_t at, PageRange frames, bool stores) {
  return task.run(&task_show, {at, frames.first, frames.count, stores ? 1 : 0});
}
std::int64_t World::give_at(std::uint32_t at, std::uint32_t count) {
  return home.run(&home_give_at, {at, count});
}
std::int64_t World::open_at(std::uint32_t at, std::uint32_t count) {
  return home.run(&home_open_at, {at, count});
}
std::int64_t World::close_at(std::uint32_t at, std::uint32_t count) {
  return home.run(&home_close_at, {at, count});
}
std::int64_t World::let_stores(std::uint32_t at, bool on) {
  return task.run(&task_let_stores, {at, on ? 1 : 0});
}
std::int64_t World::load_at(std::uint32_t at) { return task.run(&task_load_at, {at}); }
bool World::store_at(std::uint32_t at, std::uint8_t value) {
  return task.run(&task_store_at, {at, value}) == 1;
}

bool host_has(FirewallMode mode) {
  static const FirewallMode found = machine::probe_firewall_mode();
  switch (mode) {
    case FirewallMode::mmu:
      return found == FirewallMode::mmu;
    case FirewallMode::mmu_windowed:
      return found != FirewallMode::cooperative;
    case FirewallMode::cooperative:
      return true;
  }
  return false;
}

std::string mode_test_name(FirewallMode mode) {
  std::string name = machine::firewall_mode_name(mode);
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
}

}  // namespace hive::test
