#include "cell/careful/careful.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/time.h"
#include "mapped_node.h"

namespace hive::cell {
namespace {

struct Entry {
  static constexpr std::uint32_t type = type_name("ENTR");
  TypeTag tag;
  std::uint64_t next = 0;
  std::uint64_t value = 0;
  std::uint64_t same = 0;  // always equal to value, while the entry is whole
};
struct Stranger {
  static constexpr std::uint32_t type = type_name("STRG");
  TypeTag tag;
  std::uint64_t value = 0;
};
struct Large {
  static constexpr std::uint32_t type = type_name("LARG");
  TypeTag tag;
  std::uint64_t values[500] = {};
};
struct Load {
  std::uint64_t values[8] = {};
};
struct Published {
  static constexpr std::uint32_t type = type_name("PUBL");
  TypeTag tag;
  std::atomic<std::uint64_t> head{0};
  Changing<Load> load;
};

constexpr std::uint64_t wholes_wanted = 300;  // structures read while their owner is at work

template <class T>
std::uint64_t address(const T* object) {
  return reinterpret_cast<std::uint64_t>(object);
}

class Careful : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { install_safe_copy_handler(); }

  static inline const machine::Layout layout = machine::make_layout(4, std::uint64_t{1} << 20);
  test::MappedNode node{layout, 2};
  TaggedHeap heap{node.heap(), node.heap_bytes()};
  CarefulCounters counters;
  CarefulReader reader{layout, 2, &counters};

  template <class T>
  void expect_corrupt(const Result<T>& result, const char* cause) {
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, Code::corrupt) << result.error().cause;
    EXPECT_STREQ(result.error().cause, cause);
    EXPECT_EQ(result.error().cell, 2);
  }
};

TEST_F(Careful, ReadsAStructureAsItIs) {
  auto* entry = heap.create<Entry>();
  entry->value = 42;
  auto copy = reader.read<Entry>(address(entry));
  ASSERT_TRUE(copy.has_value());
  entry->value = 43;
  EXPECT_EQ((*copy)->value, 42U);  // a copy, not a view
  auto* large = heap.create<Large>();
  large->values[499] = 7;
  auto large_copy = reader.read<Large>(address(large));
  ASSERT_TRUE(large_copy.has_value());
  EXPECT_EQ((*large_copy)->values[499], 7U);
  EXPECT_EQ(counters.corrupt.load(), 0U);
}

TEST_F(Careful, AnAddressIsCheckedBeforeItIsUsed) {
  auto* entry = heap.create<Entry>();
  const std::uint64_t at = address(entry);
  expect_corrupt(reader.read<Entry>(at + 8), careful_misaligned);
  expect_corrupt(reader.read_raw<std::uint64_t>(at + 4), careful_misaligned);
  const std::uint64_t outside[] = {0,
                                   64,
                                   ~std::uint64_t{63},
                                   layout.kernel_begin(2) - 64,
                                   layout.kernel_end(2),
                                   layout.user_begin(2) + 4096,
                                   layout.kernel_begin(1),
                                   layout.kernel_begin(3),
                                   address(&at) / 64 * 64};
  for (const std::uint64_t wild : outside) {
    expect_corrupt(reader.read<Entry>(wild), careful_outside);
    expect_corrupt(reader.read_raw<std::uint64_t>(wild), careful_outside);
  }
  // The last structure that fits, and the first that does not.
  const std::uint64_t end = layout.kernel_end(2);
  EXPECT_TRUE(reader.read_raw<Load>(end - 64).has_value());
  expect_corrupt(reader.read_raw<Load>(end - 56), careful_outside);
  EXPECT_EQ(counters.corrupt.load(), 2 + 2 * std::size(outside) + 1);
}

TEST_F(Careful, AnotherTypeOrAFreeBlockIsNotBelieved) {
  auto* stranger = heap.create<Stranger>();
  expect_corrupt(reader.read<Entry>(address(stranger)), careful_other_type);
  heap.destroy(stranger);
  expect_corrupt(reader.read<Entry>(address(stranger)), careful_free);
  expect_corrupt(reader.read<Large>(address(node.heap()) + (1 << 19)), careful_free);
}

TEST_F(Careful, MemoryThatIsGoneIsAnErrorAndNoSignal) {
  auto* entry = heap.create<Entry>();
  const std::uint64_t at = address(entry);
  struct Seen {
    int calls = 0;
    Error last;
  } seen;
  counters.context = &seen;
  counters.hook = [](void* context, const Error& what) {
    auto& s = *static_cast<Seen*>(context);
    ++s.calls;
    s.last = what;
  };
  node.fail();
  auto tagged = reader.read<Entry>(at);
  ASSERT_FALSE(tagged.has_value());
  EXPECT_EQ(tagged.error().code, Code::cell_down);
  EXPECT_EQ(std::string(tagged.error().cause).rfind("bus error", 0), 0U);
  EXPECT_EQ(reader.read_raw<std::uint64_t>(at).error().code, Code::cell_down);
  EXPECT_EQ(reader.follow<Entry>(at).error().code, Code::cell_down);
  EXPECT_EQ(reader.read_changing<Load>(at).error().code, Code::cell_down);
  auto walked = reader.walk_list<Entry>(at, &Entry::next, 10,
                                        [](const Entry&, std::uint64_t) { return true; });
  EXPECT_EQ(walked.error().code, Code::cell_down);
  EXPECT_EQ(counters.bus_errors.load(), 5U);
  EXPECT_EQ(seen.calls, 5);
  EXPECT_EQ(seen.last.cell, 2);
}

TEST_F(Careful, FollowsAPointer) {
  auto* published = heap.create<Published>();
  const std::uint64_t pointer = address(&published->head);
  EXPECT_EQ(reader.follow<Entry>(pointer).error().code, Code::not_found);
  auto* entry = heap.create<Entry>();
  entry->value = 5;
  published->head = address(entry);
  auto copy = reader.follow<Entry>(pointer);
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ((*copy)->value, 5U);
  heap.destroy(entry);  // and the pointer stays: that is not how an owner does it
  expect_corrupt(reader.follow<Entry>(pointer), careful_free);
}

TEST_F(Careful, WalksAListAndStopsWhereTheVisitorSays) {
  std::uint64_t head = 0;
  for (std::uint64_t i = 1; i <= 10; ++i) {
    auto* entry = heap.create<Entry>();
    entry->next = head;
    entry->value = i;
    head = address(entry);
  }
  std::vector<std::uint64_t> seen;
  auto walk = [&](std::uint64_t stop_at) {
    seen.clear();
    return reader.walk_list<Entry>(head, &Entry::next, 10, [&](const Entry& e, std::uint64_t) {
      seen.push_back(e.value);
      return e.value != stop_at;
    });
  };
  EXPECT_EQ(*walk(0), 10U);
  EXPECT_EQ(seen.front(), 10U);
  EXPECT_EQ(seen.back(), 1U);
  EXPECT_EQ(*walk(7), 4U);
  auto* published = heap.create<Published>();
  published->head = head;
  auto visit = [](const Entry&, std::uint64_t) { return true; };
  EXPECT_EQ(*reader.walk_list_at<Entry>(address(&published->head), &Entry::next, 10, visit), 10U);
  EXPECT_EQ(*reader.walk_list<Entry>(0, &Entry::next, 10, visit), 0U);
}

TEST_F(Careful, AListWithACycleOrAWildLinkEnds) {
  auto* a = heap.create<Entry>();
  auto* b = heap.create<Entry>();
  a->next = address(b);
  b->next = address(a);
  constexpr std::uint32_t bound = 1000;
  std::uint32_t visited = 0;
  auto count = [&](const Entry&, std::uint64_t) { return ++visited, true; };
  expect_corrupt(reader.walk_list<Entry>(address(a), &Entry::next, bound, count), careful_endless);
  EXPECT_EQ(visited, bound);
  b->next = 0xdeadbeefdeadbe00;
  expect_corrupt(reader.walk_list<Entry>(address(a), &Entry::next, bound, count), careful_outside);
  heap.destroy(b);
  expect_corrupt(reader.walk_list<Entry>(address(a), &Entry::next, bound, count), careful_free);
}

// The owner takes the next element out while the walk stands at the one before.
TEST_F(Careful, AnElementThatIsTakenOutDuringTheWalkIsNoCorruption) {
  auto* a = heap.create<Entry>();
  auto* b = heap.create<Entry>();
  a->next = address(b);
  auto walked = reader.walk_list<Entry>(address(a), &Entry::next, 10,
                                        [&](const Entry&, std::uint64_t at) {
                                          if (at == address(a)) {
                                            a->next = 0;
                                            heap.destroy(b);
                                          }
                                          return true;
                                        });
  ASSERT_FALSE(walked.has_value());
  EXPECT_EQ(walked.error().code, Code::busy);
  EXPECT_EQ(counters.corrupt.load(), 0U);
  EXPECT_EQ(counters.raced.load(), 1U);
}

// An owner frees and reuses the block all the time; no reader may ever see a mixture.
TEST_F(Careful, ReuseDuringTheCopyIsNoticed) {
  auto* published = heap.create<Published>();
  std::atomic<bool> running{true};
  std::thread owner([&] {
    for (std::uint64_t i = 1; running; ++i) {
      auto* entry = heap.create<Entry>();
      HIVE_CHECK(entry != nullptr);
      // Compilers may not join these: the reader shall have its chance of a mixture.
      __atomic_store_n(&entry->value, i, __ATOMIC_RELAXED);
      __atomic_store_n(&entry->same, i, __ATOMIC_RELAXED);
      published->head.store(address(entry));
      published->head.store(0);
      heap.destroy(entry);
    }
  });
  std::uint64_t whole = 0;
  std::uint64_t other = 0;
  const std::uint64_t deadline = now_ns() + 20 * ns_per_s;
  // The first block of the heap's class after `published` is the one that is reused for ever.
  while (whole < wholes_wanted && now_ns() < deadline) {
    auto copy = reader.follow<Entry>(address(&published->head));
    if (!copy) {
      // A free block or an unsteady one; but the owner's heap is sane.
      EXPECT_TRUE(copy.error().code == Code::not_found || copy.error().code == Code::busy)
          << copy.error().cause;
      ++other;
      continue;
    }
    // Values are stored after the tag: an entry may be seen before it is filled in, never mixed up
    // from two lives, which would show as two different values other than zero.
    if ((*copy)->value != 0 && (*copy)->same != 0) {
      ASSERT_EQ((*copy)->value, (*copy)->same);
      ++whole;
    }
  }
  running = false;
  owner.join();
  EXPECT_GE(whole, wholes_wanted) << "and " << other << " others";
}

TEST_F(Careful, AChangingStructureIsSeenAsOfOneMoment) {
  auto* published = heap.create<Published>();
  const std::uint64_t at = address(&published->load);
  std::atomic<bool> running{true};
  std::thread owner([&] {
    for (std::uint64_t i = 1; running; ++i) {
      published->load.update([&](Load& load) {
        for (auto& value : load.values) __atomic_store_n(&value, i, __ATOMIC_RELAXED);
      });
    }
  });
  std::uint64_t seen = 0;
  std::uint64_t last = 0;
  const std::uint64_t deadline = now_ns() + 20 * ns_per_s;
  while (seen < wholes_wanted && now_ns() < deadline) {
    auto load = reader.read_changing<Load>(at);
    if (!load) {
      ASSERT_EQ(load.error().code, Code::busy);
      continue;
    }
    for (const auto value : load->values) ASSERT_EQ(value, load->values[0]);
    ASSERT_GE(load->values[0], last);
    last = load->values[0];
    ++seen;
  }
  running = false;
  owner.join();
  EXPECT_GE(seen, wholes_wanted);
}

TEST_F(Careful, AnOwnerThatStopsInTheMiddleOfAChangeIsBusyAndNoHang) {
  auto* published = heap.create<Published>();
  published->load.begin();
  auto load = reader.read_changing<Load>(address(&published->load));
  ASSERT_FALSE(load.has_value());
  EXPECT_EQ(load.error().code, Code::busy);
  published->load.end();
  EXPECT_TRUE(reader.read_changing<Load>(address(&published->load)).has_value());
}

TEST_F(Careful, ACheckOfTheCallerIsCountedToo) {
  const Result<int> rejected = reader.reject("a length is out of range");
  expect_corrupt(rejected, "a length is out of range");
  EXPECT_EQ(counters.corrupt.load(), 1U);
}

}  // namespace
}  // namespace hive::cell
