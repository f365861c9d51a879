// Writes what a home publishes (published.h), so that readers on other cells never see half of a
// change. Owned by a Home; every call under its mutex.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <hive/error.h>
#include <hive/window.h>
#include "cell/heap/tagged_heap.h"
#include "cell/home/published.h"

namespace hive::cell {

struct BlockedNote {
  const ClientInfo* client = nullptr;
  std::uint64_t time_ns = 0;
  std::uint64_t instruction = 0;
  std::uint64_t address = 0;
  CellId home = -1;
  std::uint32_t page = no_page;
  SegmentId segment = 0;
};

class Publisher {
 public:
  // Errors: exhausted (the heap is full).
  static Result<Publisher> create(TaggedHeap& heap, CellId self);
  Publisher(Publisher&& other) noexcept;
  Publisher& operator=(Publisher&&) = delete;
  ~Publisher();

  HomeRoot* root() const { return root_; }

  // Null when the heap is full.
  SegmentRecord* add_segment(std::string_view name, SegmentId id, machine::PageRange pages,
                             bool keep);
  void remove_segment(SegmentRecord* record);

  struct WindowNote {
    const ClientInfo* client;
    SegmentId segment;
    machine::PageRange pages;
    WindowMode mode;
    std::uint64_t opened_at_ns;
  };
  // The slot, or none when the table is full.
  std::optional<std::uint32_t> add_window(const WindowNote& note);
  void remove_window(std::uint32_t slot);

  void add_blocked(const BlockedNote& note);

 private:
  // Around every change of the list of segments.
  void begin_change();
  void end_change();
  Publisher(TaggedHeap& heap, CellId self) : heap_(&heap), self_(self) {}

  TaggedHeap* heap_;
  CellId self_;
  HomeRoot* root_ = nullptr;
  WindowTable* windows_ = nullptr;
  BlockedRing* blocked_ = nullptr;
  std::vector<SegmentRecord*> segments_;     // in the order of the list, newest first
  std::vector<std::uint32_t> free_windows_;  // slots
};

}  // namespace hive::cell
