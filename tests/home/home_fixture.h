// A home over fake page tables, and clients of it.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cell/home/home.h"
#include "fake_pages.h"
#include "proto/causes.h"

namespace hive::cell::test {

inline constexpr std::uint64_t page = machine::page_bytes;

// Zeroed memory for a heap, aligned as node memory is.
class HeapMemory {
 public:
  explicit HeapMemory(std::size_t bytes)
      : memory_(std::aligned_alloc(machine::page_bytes, bytes)),
        heap_(clear(memory_, bytes), bytes) {}
  HeapMemory(const HeapMemory&) = delete;
  HeapMemory& operator=(const HeapMemory&) = delete;
  ~HeapMemory() { std::free(memory_); }
  TaggedHeap& heap() { return heap_; }

 private:
  static void* clear(void* memory, std::size_t bytes) {
    std::memset(memory, 0, bytes);
    return memory;
  }
  void* memory_;
  TaggedHeap heap_;
};

struct TestClient {
  ClientId id = 0;
  std::shared_ptr<FakeSpace> space;
};

class HomeTest : public ::testing::Test {
 protected:
  static constexpr CellId self = 1;
  static constexpr std::uint32_t pages = 256;

  HomeTest() : node(pages) {
    layout = machine::make_layout(4, pages * page);
    Home::Parts parts;
    parts.self = self;
    parts.layout = layout;
    parts.heap = &memory.heap();
    parts.memory = &node;
    parts.log = [this](const std::string& line) {
      const std::scoped_lock lock(log_mutex);
      log.push_back(line);
    };
    home = *Home::create(parts);
  }

  void TearDown() override {
    for (const std::string& breach : node.breaches()) ADD_FAILURE() << breach;
    const auto sound = home->check_frames().sound;
    EXPECT_TRUE(sound) << sound.error().message();
  }

  TestClient attach(CellId cell = 0, std::uint64_t task = 7) {
    ClientInfo info;
    info.task = task;
    info.cell = cell;
    std::string("tester").copy(info.program.data(), info.program.size());
    TestClient client;
    client.space = node.make_space();
    client.id = *home->add_client(info, client.space);
    return client;
  }
  // As when a process is killed: its tables go, and then its cell hears of it.
  void kill(const TestClient& client) {
    client.space->die();
    home->remove_client(client.id, Leave::died);
  }
  SegmentView make(const TestClient& client, const std::string& name, std::uint32_t count,
                   bool keep = false, bool rollback = false) {
    auto made = home->create_segment(client.id, name, count * page, keep, rollback);
    EXPECT_TRUE(made) << made.error().message();
    return made ? *made : SegmentView{};
  }
  std::uint64_t address(std::uint32_t p) const { return layout.user_begin(self) + p * page; }
  Result<void> load_fault(const TestClient& client, std::uint32_t p) {
    return home->fault(client.id, address(p), false, 0x1234);
  }
  Result<WindowId> open(const TestClient& client, const SegmentView& s, std::uint32_t offset,
                        std::uint32_t count, WindowMode mode = WindowMode::exclusive) {
    return home->open_window(client.id, s.id, offset, count, mode);
  }
  Result<void> reset(const TestClient& client, const SegmentView& s, std::uint32_t offset,
                     std::uint32_t count) {
    return home->reset(client.id, s.id, offset, count);
  }

  machine::Layout layout{};
  HeapMemory memory{std::size_t{1} << 20};
  FakeNode node;
  std::mutex log_mutex;
  std::vector<std::string> log;
  std::unique_ptr<Home> home;
};

// The code of a result, or none for success; for EXPECT_EQ.
template <class T>
std::optional<Code> code_of(const Result<T>& result) {
  if (result) return std::nullopt;
  return result.error().code;
}

}  // namespace hive::cell::test
