// The machine's address range, and the memory of a node in its own kernel.
#include "machine/linux/fence.h"

#include <cerrno>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/safe_copy.h"
#include "machine/linux/firewall.h"
#include "machine/linux/memory_limits.h"
#include "machine/node_header.h"
#include "machine/sips.h"
#include "tests/machine/actor.h"

namespace hive::machine {
namespace {

using test::Actor;
using test::Exchange;

constexpr Layout layout = make_layout(4, std::uint64_t{4} << 20);

bool is_mapped(std::uint64_t address) {
  return ::msync(reinterpret_cast<void*>(address), page_bytes, MS_ASYNC) == 0;
}

TEST(MachineRange, IsTakenOnceForEachProcessAndGivenBack) {
  Actor actor;
  EXPECT_EQ(actor.run([](Exchange&) -> std::int64_t {
    if (!reserve_machine_range(layout)) return 1;
    if (!reserve_machine_range(layout)) return 2;
    Layout other = layout;
    other.cells = 3;
    if (reserve_machine_range(other)) return 3;
    if (!is_mapped(layout.base) || !is_mapped(layout.end() - page_bytes)) return 4;
    release_machine_range(layout);
    if (is_mapped(layout.base)) return 5;
    return reserve_machine_range(other) ? 0 : 6;
  }),
            0);
}

TEST(MachineRange, IsRefusedWhereSomethingLies) {
  Actor actor;
  EXPECT_EQ(actor.run([](Exchange&) -> std::int64_t {
    void* squatter = reinterpret_cast<void*>(layout.user_begin(2));
    if (::mmap(squatter, page_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
        squatter) {
      return 1;
    }
    auto taken = reserve_machine_range(layout);
    if (taken) return 2;
    if (taken.error().code != Code::exhausted) return 3;
    return is_mapped(layout.base) ? 4 : 0;
  }),
            0);
}

TEST(MachineRange, AForkedChildHasNoneAndCanTakeItAnew) {
  Actor actor;
  EXPECT_EQ(actor.run([](Exchange&) -> std::int64_t {
    if (!reserve_machine_range(layout)) return 1;
    Actor child;
    return child.run([](Exchange&) -> std::int64_t {
      if (is_mapped(layout.base)) return 2;
      return reserve_machine_range(layout) ? 0 : 3;
    });
  }),
            0);
}

TEST(MachineRange, TheWidestMachineFits) {
  Actor actor;
  EXPECT_EQ(actor.run([](Exchange&) -> std::int64_t {
    const Layout widest = make_layout(1, (std::uint64_t{340} << 30) / 17 * 16);
    if (widest.stride == 0) return 1;
    return reserve_machine_range(widest) ? 0 : 2;
  }),
            0);
}

TEST(NodeMemory, IsLaidOutAndEmpty) {
  Actor actor;
  EXPECT_EQ(actor.run([](Exchange&) -> std::int64_t {
    if (!reserve_machine_range(layout)) return 1;
    auto memory = NodeMemory::create(layout, 2, 99, probe_firewall_mode());
    if (!memory) return 2;
    const NodeHeader* header = node_header(layout, 2);
    if (header->magic != node_magic || header->layout_version != node_layout_version) return 3;
    if (header->node != 2 || header->incarnation != 99 || header->kernel_pid != ::getpid())
      return 4;
    if (header->rings_offset != page_bytes) return 5;
    if (header->consumed_offset != page_bytes + 4 * sizeof(SipsRing)) return 6;
    if (header->heap_offset < header->consumed_offset + 4 * sizeof(SipsConsumed)) return 7;
    if (header->heap_offset % page_bytes != 0) return 8;
    const auto* bytes = reinterpret_cast<const char*>(layout.kernel_begin(2));
    for (std::uint64_t i = page_bytes; i < layout.kernel_bytes; ++i) {
      if (bytes[i] != 0) return 9;
    }
    return 0;
  }),
            0);
}

TEST(NodeMemory, ItsKernelMemoryCannotBeMadeWritableByAnybodyElse) {
  Actor actor;
  EXPECT_EQ(actor.run([](Exchange&) -> std::int64_t {
    if (!reserve_machine_range(layout)) return 1;
    auto memory = NodeMemory::create(layout, 0, 1, probe_firewall_mode());
    auto fd = memory->kernel_descriptor();
    if (!fd) return 2;
    if (::mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0) !=
            MAP_FAILED ||
        errno != EPERM) {
      return 3;
    }
    void* view = ::mmap(nullptr, page_bytes, PROT_READ, MAP_SHARED, fd->get(), 0);
    if (view == MAP_FAILED) return 4;
    if (::mprotect(view, page_bytes, PROT_READ | PROT_WRITE) == 0) return 5;
    if (::pwrite(fd->get(), "x", 1, 0) >= 0) return 6;
    const std::string path = "/proc/self/fd/" + std::to_string(fd->get());
    const UniqueFd again(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (again && ::pwrite(again.get(), "x", 1, 0) >= 0) return 7;
    if (again &&
        ::mmap(nullptr, page_bytes, PROT_WRITE, MAP_SHARED, again.get(), 0) != MAP_FAILED) {
      return 8;
    }
    // Its own kernel still stores to it.
    return safe_store8(reinterpret_cast<void*>(layout.kernel_end(0) - 1), 7) ? 0 : 9;
  }),
            0);
}

TEST(NodeMemory, GoesWithItsOwnerAndTheRangeStaysTaken) {
  Actor actor;
  EXPECT_EQ(actor.run([](Exchange&) -> std::int64_t {
    if (!reserve_machine_range(layout)) return 1;
    for (int round = 0; round < 3; ++round) {
      auto memory = NodeMemory::create(layout, 1, 1, probe_firewall_mode());
      if (!memory) return 2;
      NodeMemory moved = std::move(*memory);
      std::uint8_t byte;
      if (!safe_copy(&byte, node_header(layout, 1), 1)) return 3;
    }
    std::uint8_t byte;
    if (safe_copy(&byte, node_header(layout, 1), 1)) return 4;
    return is_mapped(layout.user_begin(1)) && is_mapped(layout.kernel_begin(1)) ? 0 : 5;
  }),
            0);
}

TEST(NodeMemory, MoreThanTheHostHasIsRefusedAndNothingIsTaken) {
  Actor actor;
  EXPECT_EQ(actor.run([](Exchange&) -> std::int64_t {
    const std::uint64_t before = memory_available();
    const Layout huge = make_layout(1, std::min(before + (before >> 4), machine_span_max / 2));
    if (before > machine_span_max / 2) return 0;  // this host has more than a machine can be
    if (!reserve_machine_range(huge)) return 1;
    auto memory = NodeMemory::create(huge, 0, 1, probe_firewall_mode());
    if (memory) return 2;
    return memory.error().code == Code::exhausted ? 0 : 3;
  }),
            0);
}

TEST(Fence, MemoryOfAnotherSizeIsRefused) {
  Actor actor;
  EXPECT_EQ(actor.run([](Exchange&) -> std::int64_t {
    if (!reserve_machine_range(layout)) return 1;
    UniqueFd small(::memfd_create("small", MFD_CLOEXEC));
    UniqueFd other(::memfd_create("small", MFD_CLOEXEC));
    auto fence =
        Fence::map(layout, 3, std::move(small), std::move(other), FirewallMode::cooperative);
    if (fence) return 2;
    return fence.error().code == Code::bad_argument && is_mapped(layout.kernel_begin(3)) ? 0 : 3;
  }),
            0);
}

TEST(Fence, ANodeHasOneFenceInAProcess) {
  Actor actor;
  EXPECT_EQ(actor.run([](Exchange&) -> std::int64_t {
    if (!reserve_machine_range(layout)) return 1;
    const auto map = [](CellId node) {
      UniqueFd memory(::memfd_create("hive-user", MFD_CLOEXEC));
      if (::ftruncate(memory.get(), layout.user_bytes) != 0) memory.reset();
      return Fence::map_user_only(layout, node, std::move(memory), FirewallMode::cooperative);
    };
    {
      auto first = map(3);
      if (!first) return 2;
      auto second = map(3);
      if (second || second.error().code != Code::busy) return 3;
      if (!safe_store8(reinterpret_cast<void*>(layout.user_begin(3)), 1)) {
        if (!first->begin_stores({0, 1})) return 4;
        if (!safe_store8(reinterpret_cast<void*>(layout.user_begin(3)), 1)) return 5;
      }
    }
    if (!map(3)) return 6;
    if (map(4) || map(-1)) return 7;
    return 0;
  }),
            0);
}

TEST(FirewallMode, HasNames) {
  EXPECT_STREQ(firewall_mode_name(FirewallMode::mmu), "mmu");
  EXPECT_STREQ(firewall_mode_name(FirewallMode::mmu_windowed), "mmu-windowed");
  EXPECT_STREQ(firewall_mode_name(FirewallMode::cooperative), "cooperative");
  EXPECT_STREQ(firewall_mode_name(static_cast<FirewallMode>(77)), "unknown");
}

}  // namespace
}  // namespace hive::machine
