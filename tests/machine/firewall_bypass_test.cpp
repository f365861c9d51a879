// Every way round the firewall that we know of, tried by a real task: each must leave a page that
// is closed to the task as it was, while its home lives and after its home was killed. The tests
// at the end turn a defence off and show the damage, so that the others are known to test
// something.
#include <cerrno>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/safe_copy.h"
#include "tests/machine/firewall_world.h"
#include "tests/machine/memory_audit.h"

namespace hive::test {
namespace {

constexpr std::uint32_t closed_page = 4;  // given, and was open once
constexpr std::uint32_t absent_page = 9;  // never given
constexpr std::size_t node_span = std::size_t{16} * page_bytes;

void* at(std::uint32_t page) { return reinterpret_cast<void*>(page_address(page)); }
bool store_at(void* address) { return safe_store8(address, 0xEE); }

struct Setting {
  FirewallMode mode;
  bool home_killed;
};

class BypassTest : public testing::TestWithParam<Setting> {
 protected:
  void SetUp() override {
    if (!host_has(GetParam().mode)) {
      GTEST_SKIP() << "this host has no firewall mode "
                   << machine::firewall_mode_name(GetParam().mode);
    }
  }
  // A task that has had a window on the page, whose home then dies, or does not.
  void set_up_task(bool filtered) {
    world_ = std::make_unique<World>(GetParam().mode);
    world_->map_task(filtered);
    // The worst case: the task's own protection is off, as inside a window.
    world_->begin_stores({0, 16});
    ASSERT_EQ(world_->open({closed_page, 1}), 0);
    ASSERT_TRUE(world_->store(closed_page, 1));
    ASSERT_EQ(world_->close({closed_page, 1}), 0);
    if (GetParam().home_killed) world_->kill_home();
  }
  void expect_untouched() {
    EXPECT_EQ(world_->content(closed_page), 1);
    EXPECT_EQ(world_->content(absent_page), 1);
    EXPECT_FALSE(world_->store(closed_page, 0xEE));
    EXPECT_FALSE(world_->store(absent_page, 0xEE));
    EXPECT_EQ(world_->content(closed_page), 1);
    EXPECT_EQ(world_->content(absent_page), 1);
  }
  // Runs the attempt in a filtered task; it returns how many stores went through.
  void expect_no_damage_by(Routine attempt) {
    set_up_task(true);
    EXPECT_EQ(world_->task.run(attempt), 0);
    expect_untouched();
  }

  std::unique_ptr<World> world_;
};

TEST_P(BypassTest, AForkedChildSeesNoNodeMemory) {
  expect_no_damage_by([](Exchange&) -> std::int64_t {
    const pid_t child = ::fork();
    if (child == 0) {
      std::uint8_t byte;
      ::_exit(store_at(at(closed_page)) + store_at(at(absent_page)) +
              safe_copy(&byte, at(closed_page), 1));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
  });
}

TEST_P(BypassTest, TheForkProtectionCannotBeTakenOff) {
  expect_no_damage_by([](Exchange&) -> std::int64_t {
    ::madvise(at(0), node_span, MADV_DOFORK);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(store_at(at(closed_page)) + store_at(at(absent_page)));
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
  });
}

TEST_P(BypassTest, MovingTheMappingIsRefused) {
  expect_no_damage_by([](Exchange&) -> std::int64_t {
    void* moved = ::mremap(at(0), node_span, node_span, MREMAP_MAYMOVE);
    void* target = ::mmap(nullptr, node_span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void* fixed = ::mremap(at(0), node_span, node_span, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    return (moved != MAP_FAILED) + (fixed != MAP_FAILED);
  });
}

TEST_P(BypassTest, DuplicatingTheMappingIsRefused) {
  expect_no_damage_by([](Exchange&) -> std::int64_t {
    return ::mremap(at(0), 0, node_span, MREMAP_MAYMOVE) != MAP_FAILED;
  });
}

TEST_P(BypassTest, RemovingTheMemoryUnderTheMappingIsRefused) {
  expect_no_damage_by([](Exchange&) -> std::int64_t {
    return (::madvise(at(0), node_span, MADV_REMOVE) == 0) +
           (::madvise(at(0), node_span, MADV_DONTNEED) == 0);
  });
}

TEST_P(BypassTest, ReplacingTheMappingIsRefused) {
  expect_no_damage_by([](Exchange&) -> std::int64_t {
    const bool unmapped = ::munmap(at(0), node_span) == 0;
    const bool replaced = ::mmap(at(0), node_span, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
    return unmapped + replaced;
  });
}

TEST_P(BypassTest, ChangingTheProtectionIsRefused) {
  expect_no_damage_by([](Exchange&) -> std::int64_t {
    return (::mprotect(at(0), node_span, PROT_READ | PROT_WRITE) == 0) +
           (::mprotect(at(0), node_span, PROT_NONE) == 0);
  });
}

TEST_P(BypassTest, SystemCallsCannotStoreIntoAClosedPage) {
  expect_no_damage_by([](Exchange&) -> std::int64_t {
    int ends[2];
    if (::pipe(ends) != 0 || ::write(ends[1], "EVIL", 4) != 4) return 100;
    std::int64_t through = 0;
    for (const std::uint32_t page : {closed_page, absent_page}) {
      through += ::read(ends[0], at(page), 1) == 1;
      char byte = 'E';
      iovec from{&byte, 1};
      iovec to{at(page), 1};
      through += ::process_vm_writev(::getpid(), &from, 1, &to, 1, 0) == 1;
      const UniqueFd self(::open("/proc/self/mem", O_RDWR | O_CLOEXEC));
      through += ::pwrite(self.get(), "E", 1, static_cast<off_t>(page_address(page))) == 1;
    }
    return through;
  });
}

TEST_P(BypassTest, AnotherProcessOfTheUserCannotStoreThroughTheTask) {
  set_up_task(true);
  for (const std::uint32_t page : {closed_page, absent_page}) {
    char byte = 'E';
    iovec from{&byte, 1};
    iovec to{at(page), 1};
    EXPECT_NE(::process_vm_writev(world_->task.pid(), &from, 1, &to, 1, 0), 1);
    const std::string path = "/proc/" + std::to_string(world_->task.pid()) + "/mem";
    const UniqueFd memory(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(memory);
    EXPECT_NE(::pwrite(memory.get(), "E", 1, static_cast<off_t>(page_address(page))), 1);
  }
  expect_untouched();
}

TEST_P(BypassTest, TheFenceStandsWhenTheHomesDescriptorsAreClosed) {
  set_up_task(true);
  world_->kill_home();
  expect_untouched();
}

TEST_P(BypassTest, NoMappingOfNodeMemoryIsWritableWithoutAFence) {
  set_up_task(true);
  EXPECT_EQ(audit_node_mappings(world_->task.pid()), std::vector<std::string>{});
  if (!GetParam().home_killed) {
    EXPECT_EQ(audit_node_mappings(world_->home.pid(), true), std::vector<std::string>{});
  }
}

// ---- The same with a defence turned off: what the defences are for.

TEST_P(BypassTest, DamageWithoutTheKeptDescriptor) {
  set_up_task(true);
  world_->kill_home();
  // Every descriptor of the task, the one that its fence keeps among them.
  EXPECT_EQ(world_->task.run([](Exchange&) -> std::int64_t {
    for (int fd = 3; fd < 64; ++fd) {
      char target[64] = {};
      const std::string link = "/proc/self/fd/" + std::to_string(fd);
      if (::readlink(link.c_str(), target, sizeof target - 1) <= 0) continue;
      if (std::string(target).find("userfaultfd") != std::string::npos) ::close(fd);
    }
    return store_at(at(closed_page));
  }),
            1);
  EXPECT_EQ(world_->content(closed_page), 0xEE);
}

TEST_P(BypassTest, DamageWithoutTheFilterByMoving) {
  set_up_task(false);
  EXPECT_EQ(world_->task.run([](Exchange&) -> std::int64_t {
    void* target = ::mmap(nullptr, node_span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void* moved = ::mremap(at(0), node_span, node_span, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    return store_at(static_cast<char*>(moved) + absent_page * page_bytes);
  }),
            1);
  EXPECT_EQ(world_->content(absent_page), 0xEE);
  EXPECT_NE(audit_node_mappings(world_->task.pid()), std::vector<std::string>{})
      << "the audit does not see a mapping without a fence";
}

TEST_P(BypassTest, DamageWithoutTheFilterByRemoving) {
  set_up_task(false);
  EXPECT_EQ(world_->task.run([](Exchange&) -> std::int64_t {
    return ::madvise(at(0), node_span, MADV_REMOVE);
  }),
            0);
  EXPECT_EQ(world_->content(closed_page), 0);
}

TEST_P(BypassTest, DamageWithoutTheForkProtection) {
  set_up_task(false);
  EXPECT_EQ(world_->task.run([](Exchange&) -> std::int64_t {
    ::madvise(at(0), node_span, MADV_DOFORK);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(store_at(at(absent_page)) ? 1 : 0);
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  }),
            1);
  EXPECT_EQ(world_->content(absent_page), 0xEE);
}

INSTANTIATE_TEST_SUITE_P(Modes, BypassTest,
                         testing::Values(Setting{FirewallMode::mmu, false},
                                         Setting{FirewallMode::mmu, true},
                                         Setting{FirewallMode::mmu_windowed, false},
                                         Setting{FirewallMode::mmu_windowed, true}),
                         [](const auto& p) {
                           return mode_test_name(p.param.mode) +
                                  (p.param.home_killed ? "_home_killed" : "_home_alive");
                         });

}  // namespace
}  // namespace hive::test
