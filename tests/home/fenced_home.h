// A home with real processes behind the real firewall, for tests.

#pragma once

#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include <gtest/gtest.h>

#include "base/safe_copy.h"
#include "cell/heap/tagged_heap.h"
#include "cell/home/fenced.h"
#include "cell/home/home.h"
#include "machine/node_header.h"
#include "puppet.h"

namespace hive::cell::test {

constexpr std::uint64_t page = machine::page_bytes;

struct Actor {
  ClientId id = 0;
  std::unique_ptr<Puppet> puppet;
};

class FencedHome : public ::testing::Test {
 protected:
  static constexpr CellId self = 0;
  static constexpr std::uint32_t pages = 1024;

  void SetUp() override {
    mode = machine::probe_firewall_mode();
    if (mode == machine::FirewallMode::cooperative) {
      GTEST_SKIP() << "this host refuses userfaultfd, so there is no firewall to test";
    }
    install_safe_copy_handler();
    layout = machine::make_layout(2, pages * page);
    ASSERT_TRUE(machine::reserve_machine_range(layout));
    auto made = machine::NodeMemory::create(layout, self, 1, mode);
    ASSERT_TRUE(made) << made.error().message();
    memory.emplace(std::move(*made));
    frames.emplace(*memory);
    machine::NodeHeader* header = machine::node_header(layout, self);
    asleep = &header->gate_asleep;
    heap.emplace(reinterpret_cast<void*>(layout.kernel_begin(self) + header->heap_offset),
                 layout.kernel_bytes - header->heap_offset);
    Home::Parts parts;
    parts.self = self;
    parts.layout = layout;
    parts.heap = &*heap;
    parts.memory = &*frames;
    home = *Home::create(parts);
    kernel = *home->add_client({.task = 0, .cell = self, .kind = ClientKind::kernel},
                               std::make_shared<FencedClientSpace>(memory->own_space()));
  }
  void TearDown() override {
    home.reset();
    heap.reset();
    frames.reset();
    memory.reset();
    if (layout.stride != 0) machine::release_machine_range(layout);
  }

  Actor spawn(CellId cell = 1) {
    auto started = Puppet::start(layout, self, *memory, mode);
    EXPECT_TRUE(started) << started.error().message();
    if (!started) std::abort();
    Actor actor;
    actor.puppet = std::move(*started);
    ClientInfo info;
    info.cell = cell;
    info.task = ++tasks;
    actor.id = *home->add_client(
        info, std::make_shared<FencedClientSpace>(actor.puppet->take_space()));
    return actor;
  }
  SegmentView make(ClientId by, const char* name, std::uint32_t count) {
    const auto made = home->create_segment(by, name, count * page, true);
    EXPECT_TRUE(made);
    return *made;
  }
  std::uint64_t address(const SegmentView& s, std::uint32_t p) const {
    return layout.user_begin(self) + (s.pages.first + p) * page;
  }
  // What a task does whose load faults.
  std::optional<std::uint64_t> load(const Actor& actor, std::uint64_t at) {
    if (auto value = actor.puppet->load(at)) return value;
    if (!home->fault(actor.id, at, false, 0)) return std::nullopt;
    return actor.puppet->load(at);
  }
  // What is in memory, as the kernel of the home sees it.
  Result<std::uint64_t> look(std::uint64_t at) {
    std::uint64_t value = 0;
    for (int tries = 0; tries < 100; ++tries) {
      if (auto given = home->fault(kernel, at, false, 0); !given) return fail(given.error());
      if (safe_load64(reinterpret_cast<const void*>(at), value)) return value;
    }
    return fail(Code::host, "given again and again, to no effect");
  }

  machine::FirewallMode mode{};
  machine::Layout layout{};
  std::optional<machine::NodeMemory> memory;
  std::optional<NodeFrameMemory> frames;
  std::optional<TaggedHeap> heap;
  std::atomic<std::uint32_t>* asleep = nullptr;
  std::unique_ptr<Home> home;
  ClientId kernel = 0;
  std::uint64_t tasks = 0;
};

}  // namespace hive::cell::test
