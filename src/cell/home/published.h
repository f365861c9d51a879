// What a home publishes in its kernel memory: its segments, who has windows open, whose stores
// were blocked, and how much of its memory is in use.
//
// Written by the home alone. Readers on other cells go by careful reference: copy, then check the
// tags, then believe. How each part stays readable while it changes:
//   segments   a list. A record is complete before it is linked, and unlinked before it is freed;
//              its tag count shows a reader that it was reused under him. At most segments_max.
//   windows    an array of slots. `version` is odd while a slot changes, and task is 0 in a
//              free one.
//   blocked    a ring. Line i lies in slot i % blocked_lines; `number` is i + 1, stored last, and
//              0 while the slot changes.
//   counters   words, each consistent by itself.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "cell/heap/tagged_heap.h"
#include "cell/home/types.h"

namespace hive::cell {

inline constexpr std::uint64_t blocked_lines = 64;
inline constexpr std::uint32_t no_page = ~std::uint32_t{0};

enum class SegmentState : std::uint32_t { live = 1, destroyed = 2 };

struct SegmentRecord {
  static constexpr std::uint32_t type = type_name("SEGM");
  TypeTag tag;
  std::atomic<std::uint64_t> next{0};  // address of the next record, or 0
  std::uint64_t id = 0;
  std::uint32_t first_page = 0;
  std::uint32_t pages = 0;
  std::int32_t home = -1;
  std::atomic<SegmentState> state{SegmentState::live};  // destroyed: its name is free again
  std::atomic<std::uint32_t> clients{0};                // that have it open
  std::atomic<std::uint32_t> torn_pages{0};
  std::uint32_t keep = 0;
  // Goes up when pages are torn or taken back; tasks read it.
  std::atomic<std::uint32_t> losses{0};
  std::array<char, 64> name{};
};

// A slot of the table of open windows: what a task could destroy right now.
struct WindowRecord {
  std::atomic<std::uint32_t> version{0};
  std::int32_t cell = -1;
  std::uint64_t task = 0;
  std::uint64_t segment = 0;
  std::uint32_t first_page = 0;
  std::uint32_t pages = 0;
  std::uint32_t mode = 0;  // hive::WindowMode
  std::uint32_t kind = 0;  // ClientKind
  std::uint64_t opened_at_ns = 0;
};

struct WindowTable {
  static constexpr std::uint32_t type = type_name("WIND");
  TypeTag tag;
  std::atomic<std::uint32_t> open{0};
  std::atomic<std::uint32_t> slots_used{0};  // one more than the highest slot ever used
  std::array<WindowRecord, windows_max> slots{};
};

// A store that the firewall stopped, and who made it.
struct BlockedStore {
  std::atomic<std::uint64_t> number{0};
  std::uint64_t time_ns = 0;
  std::uint64_t task = 0;
  std::uint64_t instruction = 0;
  std::uint64_t address = 0;
  std::uint64_t segment = 0;     // 0: none is there, or the store was aimed at another cell
  std::int32_t cell = -1;        // of the task
  std::int32_t home = -1;        // whose memory it was aimed at
  std::uint32_t page = no_page;  // of that cell's user memory; no_page: it is kernel memory
  std::uint32_t reserved = 0;
  std::array<char, 64> program{};
};

struct BlockedRing {
  static constexpr std::uint32_t type = type_name("BLKD");
  TypeTag tag;
  std::atomic<std::uint64_t> total{0};
  std::array<BlockedStore, blocked_lines> lines{};
};

struct HomeRoot {
  static constexpr std::uint32_t type = type_name("HOME");
  TypeTag tag;
  std::atomic<std::uint64_t> segments{0};  // address of the first SegmentRecord, or 0
  std::atomic<std::uint64_t> segment_count{0};
  // Odd while the list of segments is being changed. Who finds no segment of a name, and no change
  // either while he looked, knows that there is none.
  std::atomic<std::uint64_t> segment_changes{0};
  std::uint64_t windows = 0;               // address of the WindowTable
  std::uint64_t blocked = 0;               // address of the BlockedRing
  std::uint64_t pfdats = 0;                // address of the PfdatTable
  std::uint64_t page_cache = 0;            // address of the CacheTableHead (files/cache_table.h)
  std::atomic<std::uint64_t> clients{0};
  std::atomic<std::uint64_t> pages_open_own{0};       // in windows of this cell's processes
  std::atomic<std::uint64_t> pages_open_others{0};    // in windows of other cells' processes
  std::atomic<std::uint64_t> pages_torn{0};
};

}  // namespace hive::cell
