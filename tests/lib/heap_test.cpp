// Heaps in a segment: built by one task, walked by others, taken over by the next, never trusted.
#include <hive/hive.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <map>
#include <memory>
#include <memory_resource>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "random_moments.h"

namespace hive::test {
namespace {

struct Node {
  Ref<Node> next{};
  std::uint64_t value = 0;
};
static_assert(Shareable<Node> && sizeof(Ref<Node>) == 8);

class HeapTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t room = 64 * page_size;
  HeapTest()
      : machine(2),
        session(std::move(*hive::attach({.cell = 0}))),
        segment(std::move(*session.create("s", room, {.home = 1}))) {}

  // Adds a node before the root.
  static Result<void> push(Heap& heap, std::uint64_t value) {
    const auto root = heap.root<Node>();
    auto node = heap.make<Node>(Node{root ? *root : Ref<Node>{}, value});
    if (!node) return fail(node.error());
    return heap.set_root(heap.ref(*node));
  }

  FakeMachine machine;
  Session session;
  Segment segment;
};

struct Task {
  Task()
      : session(std::move(*hive::attach({.cell = 1}))), segment(std::move(*session.open("s"))) {}
  Session session;
  Segment segment;
};

TEST_F(HeapTest, WhatOneTaskBuildsAnotherWalksInPlaceOrByCopies) {
  auto heap = Heap::create(segment, 0, room);
  ASSERT_TRUE(heap) << heap.error().message();
  for (std::uint64_t i = 1; i <= 1000; ++i) ASSERT_TRUE(push(**heap, i));
  EXPECT_EQ(HeapView::open(segment)->stamp().error().code, Code::busy);
  ASSERT_TRUE((*heap)->commit());
  Child other([](Child&) {
    const Task task;
    const auto view = HeapView::open(task.segment);
    if (!view) return 1;
    const auto stamp = view->stamp();
    const auto root = view->root<Node>();
    if (!stamp || !root) return 2;
    std::uint64_t next = 1000;
    for (Ref<Node> at = *root; at; --next) {
      const auto node = view->read(at);
      const Node* const place = view->at(at);
      if (!node || node->value != next || place == nullptr || place->value != next) return 3;
      at = node->next;
    }
    if (next != 0 || !view->unchanged(*stamp)) return 4;
    return 0;
  });
  EXPECT_EQ(other.wait(), 0);
}

TEST_F(HeapTest, ALaterWriterTakesOver) {
  auto heap = Heap::create(segment, page_size, room - page_size);
  ASSERT_TRUE(heap && push(**heap, 1) && (*heap)->commit());
  EXPECT_EQ((*heap)->try_allocate(1).error().code, Code::bad_argument);
  const auto view = HeapView::open(segment, page_size);
  const auto stamp = view->stamp();
  ASSERT_TRUE(stamp);
  Child other([](Child&) {
    Task task;
    auto mine = Heap::resume(task.segment, page_size);
    if (!mine || !push(**mine, 2)) return 1;
    const auto root = (*mine)->root<Node>();
    Node* const first = (*mine)->at((*mine)->at(*root)->next);
    if (first == nullptr || first->value != 1) return 2;
    if (!(*mine)->try_deallocate(first)) return 3;
    (*mine)->at(*root)->next = {};
    return (*mine)->commit() ? 0 : 4;
  });
  EXPECT_EQ(other.wait(), 0);
  EXPECT_EQ(view->unchanged(*stamp).error().code, Code::busy);
  const auto root = view->read(*view->root<Node>());
  ASSERT_TRUE(root);
  EXPECT_EQ(root->value, 2U);
  EXPECT_FALSE(root->next);
  auto again = Heap::resume(segment, page_size);
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->used(), 32U);
  ASSERT_TRUE((*again)->check());
}

TEST_F(HeapTest, ContainersOfTheStandardLibraryLiveInIt) {
  using Map = std::pmr::map<std::uint64_t, std::pmr::string>;
  auto heap = Heap::create(segment, 0, room);
  ASSERT_TRUE(heap);
  auto place = (*heap)->try_allocate(sizeof(Map), alignof(Map));
  ASSERT_TRUE(place);
  Map* const map = new (*place) Map(heap->get());
  for (std::uint64_t i = 0; i < 200; ++i)
    (*map)[i] = "a string that is long enough: " + std::to_string(i);
  for (std::uint64_t i = 0; i < 200; i += 2) map->erase(i);
  ASSERT_TRUE((*heap)->set_root((*heap)->ref(map)) && (*heap)->check() && (*heap)->commit());
  Child other([](Child&) {
    const Task task;
    const auto view = HeapView::open(task.segment);
    const Map* const same = view->at(*view->root<Map>());
    if (same == nullptr || same->size() != 100 || !same->contains(77)) return 1;
    return same->at(77) == "a string that is long enough: 77" ? 0 : 2;
  });
  EXPECT_EQ(other.wait(), 0);
}

TEST_F(HeapTest, RunningOutIsAnErrorAndForContainersBadAlloc) {
  auto heap = Heap::create(segment, 0, 4 * page_size);
  ASSERT_TRUE(heap);
  EXPECT_EQ((*heap)->try_allocate(room).error().code, Code::exhausted);
  EXPECT_EQ((*heap)->try_allocate(~std::size_t{0}).error().code, Code::exhausted);
  EXPECT_EQ((*heap)->make_array<int>(~std::size_t{0}).error().code, Code::exhausted);
  EXPECT_EQ((*heap)->try_allocate(1, 3).error().code, Code::bad_argument);
  EXPECT_EQ((*heap)->try_allocate(1, 2 * page_size).error().code, Code::bad_argument);
  EXPECT_TRUE((*heap)->try_allocate(1, page_size));
  std::pmr::vector<int> numbers(heap->get());
  EXPECT_THROW(numbers.resize(room), std::bad_alloc);
  const auto array = (*heap)->make_array<int>(100);
  ASSERT_TRUE(array);
  EXPECT_EQ(array->size(), 100U);
  EXPECT_TRUE((*heap)->commit());
}

TEST_F(HeapTest, ReferencesAreChecked) {
  auto heap = Heap::create(segment, page_size, 8 * page_size);
  ASSERT_TRUE(heap && push(**heap, 1));
  const Node outside;
  EXPECT_FALSE((*heap)->ref(&outside));
  EXPECT_EQ((*heap)->set_root(Ref<Node>{8}).error().code, Code::bad_argument);
  ASSERT_TRUE((*heap)->commit());
  const auto view = HeapView::open(segment, page_size);
  ASSERT_TRUE(view);
  const std::uint64_t good = view->root<Node>()->offset;
  for (const std::uint64_t bad : {std::uint64_t{0}, page_size, good + 4, 9 * page_size - 8,
                                  9 * page_size, room, ~std::uint64_t{0}, ~std::uint64_t{7}}) {
    EXPECT_EQ(view->read(Ref<Node>{bad}).error().code, Code::corrupt) << bad;
    EXPECT_EQ(view->at(Ref<Node>{bad}), nullptr) << bad;
  }
  std::vector<Node> too_many(10'000);
  EXPECT_EQ(view->read(Ref<Node>{good}, std::span(too_many)).error().code, Code::corrupt);
  EXPECT_EQ(view->root<int>().error().code, Code::corrupt);
}

TEST_F(HeapTest, PlacesAreCheckedAndWritersKeptApart) {
  EXPECT_EQ(Heap::create(segment, 8, page_size).error().code, Code::bad_argument);
  EXPECT_EQ(Heap::create(segment, 0, 100).error().code, Code::bad_argument);
  EXPECT_EQ(Heap::create(segment, page_size, room).error().code, Code::bad_argument);
  EXPECT_EQ(Heap::resume(segment).error().code, Code::not_found);
  EXPECT_EQ(HeapView::open(segment).error().code, Code::not_found);
  auto heap = Heap::create(segment, 0, room);
  ASSERT_TRUE(heap);
  EXPECT_EQ(Heap::create(segment, 0, room).error().code, Code::busy);
  EXPECT_EQ(Heap::resume(segment).error().code, Code::busy);
  EXPECT_EQ(HeapView::open(segment)->root<Node>().error().code, Code::not_found);
  int local = 0;
  EXPECT_EQ((*heap)->try_deallocate(&local).error().code, Code::corrupt);
  EXPECT_EQ((*heap)->commit().error().code, Code::corrupt);
  heap->reset();
  EXPECT_EQ(Heap::create(segment, 0, room).error().code, Code::lost);
  ASSERT_TRUE(segment.reset(0, room));
  EXPECT_TRUE(Heap::create(segment, 0, room));
}

TEST_F(HeapTest, AHeapFullOfNonsenseIsCorruptAndStaysAsItIs) {
  RandomMoments random;
  int corrupt = 0;
  for (int round = 0; round < 200; ++round) {
    auto heap = Heap::create(segment, 0, 8 * page_size);
    ASSERT_TRUE(heap);
    for (std::uint64_t i = 0; i < 100; ++i) ASSERT_TRUE(push(**heap, i));
    ASSERT_TRUE((*heap)->commit());
    auto window = segment.write(0, page_size);
    ASSERT_TRUE(window);
    for (std::uint64_t n = 1 + random.below(4); n > 0; --n) {
      *window->at<std::uint64_t>(random.below(60) * 8) =
          random.below(2) == 0 ? random.below(~std::uint64_t{0}) : random.below(5000);
    }
    ASSERT_TRUE(window->commit());
    if (const auto view = HeapView::open(segment); view) {
      (void)view->stamp();
      const auto root = view->root<Node>();
      int steps = 0;
      for (auto at = root ? *root : Ref<Node>{}; at && steps < 200; ++steps) {
        const auto node = view->read(at);
        if (!node) break;
        at = node->next;
      }
    }
    if (auto next = Heap::resume(segment); next) {
      (void)push(**next, 5);
      (void)(*next)->commit();
      next->reset();
      (void)segment.reset(0, room);
    } else {
      corrupt += next.error().code == Code::corrupt ? 1 : 0;
      EXPECT_TRUE(segment.read_as<int>(0));  // and not torn
    }
  }
  EXPECT_GT(corrupt, 20);
}

// Takes the heap over again and again, or makes it, and replaces its list of ten by the next one.
int replace_for_ever(Child& parent) {
  Task task;
  parent.tell();
  for (std::uint64_t round = 1;; ++round) {
    auto heap = Heap::resume(task.segment);
    if (!heap) heap = Heap::create(task.segment, 0, 16 * page_size);
    if (!heap) return 1;
    const auto old = (*heap)->root<Node>();
    for (Ref<Node> at = old ? *old : Ref<Node>{}; at;) {
      Node* const node = (*heap)->at(at);
      at = node->next;
      if (!(*heap)->try_deallocate(node)) return 2;
    }
    Ref<Node> list;
    for (std::uint64_t i = 0; i < 10; ++i) {
      auto node = (*heap)->make<Node>(Node{list, round * 10 + i});
      if (!node) return 3;
      list = (*heap)->ref(*node);
    }
    if (!(*heap)->set_root(list) || !(*heap)->commit()) return 4;
  }
}

// 0: the writer was faster. Otherwise the number of the list.
Result<std::uint64_t> walk(const HeapView& view) {
  const auto stamp = view.stamp();
  if (!stamp) return fail(stamp.error());
  auto root = view.root<Node>();
  std::array<std::uint64_t, 10> values{};
  std::size_t count = 0;
  bool whole = root.has_value();
  for (auto at = root ? *root : Ref<Node>{}; at && whole;) {
    const auto node = view.read(at);
    whole = node.has_value() && count < values.size();
    if (!whole) break;
    values[count++] = node->value;
    at = node->next;
  }
  if (auto same = view.unchanged(*stamp); !same) return fail(same.error());
  EXPECT_TRUE(whole && count == values.size());
  const std::uint64_t round = values[9] / 10;
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(values[i], round * 10 + 9 - i);
  return round;
}

TEST_F(HeapTest, ReadersSeeWholeListsOrNoneThoughWritersAreKilled) {
  RandomMoments moments;
  int seen = 0;
  int deaths_inside = 0;
  for (int round = 0; round < 40; ++round) {
    Child writer(&replace_for_ever);
    ASSERT_TRUE(writer.hear());
    std::jthread death([&] {
      moments.pass(20'000);
      writer.kill();
      ASSERT_TRUE(wait_until([&] { return machine.ask(1, "clients") == "1"; }));
    });
    std::atomic<bool> dead{false};
    std::jthread watch([&] {
      death.join();
      dead = true;
    });
    while (!dead) {
      const auto view = HeapView::open(segment);
      const auto list = view ? walk(*view) : fail(view.error());
      if (list) {
        ++seen;
      } else {
        ASSERT_TRUE(list.error().code == Code::busy || list.error().code == Code::not_found ||
                    list.error().code == Code::lost)
            << list.error().message();
      }
    }
    watch.join();
    if (segment.read_as<int>(0)) continue;
    ++deaths_inside;
    ASSERT_TRUE(segment.reset(0, room));
  }
  std::printf("%d lists seen, %d writers died inside\n", seen, deaths_inside);
  EXPECT_GT(seen, 100);
  EXPECT_GT(deaths_inside, 0);
}

}  // namespace
}  // namespace hive::test
