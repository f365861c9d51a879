#include "cell/heap/tagged_heap.h"
#include "test_seed.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/mman.h>

namespace hive::cell {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

struct Small {
  static constexpr std::uint32_t type = type_name("SMAL");
  TypeTag tag;
  std::uint64_t value = 0;
};
struct Other {
  static constexpr std::uint32_t type = type_name("OTHR");
  TypeTag tag;
  std::uint64_t value = 0;
};
template <std::size_t bytes>
struct Sized {
  static constexpr std::uint32_t type = type_name("SIZE");
  TypeTag tag;
  std::array<std::byte, bytes - sizeof(TypeTag)> rest;
  Sized() {}  // NOLINT: leaves `rest` as it is
};

// Zeroed memory, taken only where it is touched.
class Memory {
 public:
  explicit Memory(std::size_t bytes)
      : bytes_(bytes),
        at_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    HIVE_CHECK(at_ != MAP_FAILED);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { ::munmap(at_, bytes_); }
  void* at() const { return at_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_;
  void* at_;
};

TEST(TaggedHeap, AnObjectCarriesItsTypeAndIsAlignedToALine) {
  Memory memory(mib);
  TaggedHeap heap(memory.at(), memory.bytes());
  for (int i = 0; i < 100; ++i) {
    auto* small = heap.create<Small>();
    auto* large = heap.create<Sized<5000>>();
    ASSERT_NE(small, nullptr);
    ASSERT_NE(large, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(small) % 64, 0U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(large) % 64, 0U);
    EXPECT_EQ(small->tag.type.load(), Small::type);
    EXPECT_EQ(small->tag.count.load(), 1U);
    EXPECT_EQ(large->tag.type.load(), type_name("SIZE"));
  }
}

TEST(TaggedHeap, FreeingRemovesTheTypeAndKeepsTheCount) {
  Memory memory(mib);
  TaggedHeap heap(memory.at(), memory.bytes());
  auto* a = heap.create<Small>();
  auto* b = heap.create<Small>();
  heap.destroy(a);
  heap.destroy(b);  // links b to a
  // Through the tag only: what else is there now is the heap's affair.
  const auto* tag = reinterpret_cast<const TypeTag*>(b);
  EXPECT_EQ(tag->type.load(), 0U);
  EXPECT_EQ(tag->count.load(), 1U);
}

TEST(TaggedHeap, ReuseForTheSameTypeIsNoticedByTheCount) {
  Memory memory(mib);
  TaggedHeap heap(memory.at(), memory.bytes());
  auto* first = heap.create<Small>();
  heap.destroy(first);
  for (std::uint32_t i = 2; i < 50; ++i) {
    auto* again = heap.create<Small>();
    ASSERT_EQ(again, first);
    EXPECT_EQ(again->tag.count.load(), i);
    EXPECT_EQ(again->value, 0U);
    heap.destroy(again);
  }
  auto* other = heap.create<Other>();
  EXPECT_EQ(static_cast<void*>(other), static_cast<void*>(first));
  EXPECT_EQ(other->tag.type.load(), Other::type);
  EXPECT_EQ(other->tag.count.load(), 50U);
}

TEST(TaggedHeap, GivesNullWhenFullAndGoesOnAfterAFree) {
  Memory memory(64 * 1024);
  TaggedHeap heap(memory.at(), memory.bytes());
  std::vector<Small*> all;
  while (auto* object = heap.create<Small>()) all.push_back(object);
  EXPECT_EQ(all.size(), 1024U);
  EXPECT_EQ(heap.bytes_used(), heap.bytes_total());
  EXPECT_EQ(heap.create<Sized<1000>>(), nullptr);
  heap.destroy(all.back());
  EXPECT_EQ(heap.create<Small>(), all.back());
  for (auto* object : all) heap.destroy(object);
  EXPECT_EQ(heap.bytes_used(), 0U);
}

TEST(TaggedHeap, SizesAreRoundedToClassesAndBeyondThemToPages) {
  Memory memory(256 * mib);
  TaggedHeap heap(memory.at(), memory.bytes());
  heap.create<Sized<65>>();
  EXPECT_EQ(heap.bytes_used(), 128U);
  auto* biggest_class = heap.create<Sized<32 * mib>>();
  EXPECT_EQ(heap.bytes_used(), 128 + 32 * mib);
  heap.destroy(biggest_class);
  auto* run = heap.create<Sized<33 * mib + 1>>();
  EXPECT_EQ(heap.bytes_used(), 128 + 33 * mib + 4096);
  auto* other_run = heap.create<Sized<40 * mib>>();
  heap.destroy(run);
  heap.destroy(other_run);
  auto* again = heap.create<Sized<33 * mib + 1>>();  // behind another one in the list
  EXPECT_EQ(again, run);
  EXPECT_EQ(again->tag.count.load(), 2U);
  EXPECT_EQ(heap.create<Sized<200 * mib>>(), nullptr);
}

TEST(TaggedHeapDeath, FreeingTwiceIsNoticed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Memory memory(mib);
  TaggedHeap heap(memory.at(), memory.bytes());
  auto* object = heap.create<Small>();
  heap.destroy(object);
  EXPECT_DEATH(heap.destroy(object), "check failed");
}

TEST(TaggedHeapDeath, AStoreIntoAFreeBlockIsNoticedWhenItIsTaken) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Memory memory(mib);
  TaggedHeap heap(memory.at(), memory.bytes());
  auto* a = heap.create<Small>();
  auto* b = heap.create<Small>();
  heap.destroy(a);
  heap.destroy(b);
  std::memset(static_cast<void*>(b), 0x5a, sizeof *b);
  EXPECT_DEATH(heap.create<Small>(), "check failed");
}

TEST(TaggedHeap, ThreadsNeverGetTheSameMemory) {
  constexpr int threads = 4;
  constexpr int steps = 20000;
  const std::uint64_t seed = hive::test::test_seed();
  std::printf("HIVE_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  Memory memory(4 * mib);
  TaggedHeap heap(memory.at(), memory.bytes());
  std::array<std::uint64_t, threads> wrong{};
  auto work = [&](std::uint64_t id) {
    std::mt19937_64 random(seed + id);
    std::vector<Small*> smalls;
    std::vector<Sized<300>*> larger;
    for (int i = 0; i < steps; ++i) {
      switch (random() % 4) {
        case 0:
          if (auto* o = heap.create<Small>()) {
            o->value = id;
            smalls.push_back(o);
          }
          break;
        case 1:
          if (auto* o = heap.create<Sized<300>>()) {
            o->rest.fill(static_cast<std::byte>(id));
            larger.push_back(o);
          }
          break;
        case 2:
          if (!smalls.empty()) {
            std::swap(smalls[random() % smalls.size()], smalls.back());
            wrong[id] += smalls.back()->value != id;
            heap.destroy(smalls.back());
            smalls.pop_back();
          }
          break;
        default:
          if (!larger.empty()) {
            std::swap(larger[random() % larger.size()], larger.back());
            const auto fill = static_cast<std::byte>(id);
            for (const std::byte b : larger.back()->rest) wrong[id] += b != fill;
            heap.destroy(larger.back());
            larger.pop_back();
          }
      }
    }
    for (auto* o : smalls) heap.destroy(o);
    for (auto* o : larger) heap.destroy(o);
  };
  std::vector<std::thread> running;
  for (std::uint64_t id = 0; id < threads; ++id) running.emplace_back(work, id);
  for (auto& thread : running) thread.join();
  for (const auto count : wrong) EXPECT_EQ(count, 0U);
  EXPECT_EQ(heap.bytes_used(), 0U);
}

}  // namespace
}  // namespace hive::cell
