#include "cell/home/publisher.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace hive::cell {
namespace {

std::uint64_t address_of(const void* object) { return reinterpret_cast<std::uintptr_t>(object); }

// Announces a change to readers: the count goes up and nothing that follows is seen before it.
void announce(std::atomic<std::uint32_t>& version) {
  version.store(version.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
}

void conclude(std::atomic<std::uint32_t>& version) {
  version.store(version.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

}  // namespace

Result<Publisher> Publisher::create(TaggedHeap& heap, CellId self) {
  Publisher made(heap, self);
  made.root_ = heap.create<HomeRoot>();
  made.windows_ = heap.create<WindowTable>();
  made.blocked_ = heap.create<BlockedRing>();
  if (made.root_ == nullptr || made.windows_ == nullptr || made.blocked_ == nullptr) {
    return fail(Code::exhausted, "the kernel's heap has no room for the tables of the home", self);
  }
  made.root_->windows = address_of(made.windows_);
  made.root_->blocked = address_of(made.blocked_);
  for (std::size_t i = windows_max; i > 0; --i) {
    made.free_windows_.push_back(static_cast<std::uint32_t>(i - 1));
  }
  return made;
}

Publisher::Publisher(Publisher&& other) noexcept
    : heap_(other.heap_),
      self_(other.self_),
      root_(std::exchange(other.root_, nullptr)),
      windows_(std::exchange(other.windows_, nullptr)),
      blocked_(std::exchange(other.blocked_, nullptr)),
      segments_(std::move(other.segments_)),
      free_windows_(std::move(other.free_windows_)) {
  other.segments_.clear();
}

Publisher::~Publisher() {
  heap_->destroy(root_);
  for (SegmentRecord* record : segments_) heap_->destroy(record);
  heap_->destroy(windows_);
  heap_->destroy(blocked_);
}

SegmentRecord* Publisher::add_segment(std::string_view name, SegmentId id,
                                      machine::PageRange pages, bool keep) {
  SegmentRecord* record = heap_->create<SegmentRecord>();
  if (record == nullptr) return nullptr;
  begin_change();
  record->id = id;
  record->first_page = pages.first;
  record->pages = pages.count;
  record->home = self_;
  record->keep = keep ? 1 : 0;
  std::memcpy(record->name.data(), name.data(), std::min(name.size(), record->name.size() - 1));
  record->next.store(root_->segments.load(std::memory_order_relaxed), std::memory_order_relaxed);
  segments_.insert(segments_.begin(), record);
  root_->segments.store(address_of(record), std::memory_order_release);  // linked last
  root_->segment_count.fetch_add(1, std::memory_order_relaxed);
  end_change();
  return record;
}

void Publisher::begin_change() {
  root_->segment_changes.fetch_add(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // odd is seen before any change
}

void Publisher::end_change() { root_->segment_changes.fetch_add(1, std::memory_order_release); }

void Publisher::remove_segment(SegmentRecord* record) {
  const auto at = std::find(segments_.begin(), segments_.end(), record);
  HIVE_CHECK(at != segments_.end());
  const std::uint64_t next = record->next.load(std::memory_order_relaxed);
  begin_change();
  if (at == segments_.begin()) {
    root_->segments.store(next, std::memory_order_release);
  } else {
    (*std::prev(at))->next.store(next, std::memory_order_release);
  }
  segments_.erase(at);
  root_->segment_count.fetch_sub(1, std::memory_order_relaxed);
  heap_->destroy(record);  // and reused soon: before the change is over
  end_change();
}

std::optional<std::uint32_t> Publisher::add_window(const WindowNote& note) {
  if (free_windows_.empty()) return std::nullopt;
  const std::uint32_t slot = free_windows_.back();
  free_windows_.pop_back();
  WindowRecord& record = windows_->slots[slot];
  announce(record.version);
  record.cell = note.client->cell;
  record.task = note.client->task;
  record.kind = static_cast<std::uint32_t>(note.client->kind);
  record.segment = note.segment;
  record.first_page = note.pages.first;
  record.pages = note.pages.count;
  record.mode = static_cast<std::uint32_t>(note.mode);
  record.opened_at_ns = note.opened_at_ns;
  conclude(record.version);
  windows_->open.fetch_add(1, std::memory_order_relaxed);
  if (windows_->slots_used.load(std::memory_order_relaxed) <= slot) {
    windows_->slots_used.store(slot + 1, std::memory_order_release);
  }
  return slot;
}

void Publisher::remove_window(std::uint32_t slot) {
  WindowRecord& record = windows_->slots[slot];
  announce(record.version);
  record.task = 0;
  record.pages = 0;
  conclude(record.version);
  windows_->open.fetch_sub(1, std::memory_order_relaxed);
  free_windows_.push_back(slot);
}

void Publisher::add_blocked(const BlockedNote& note) {
  const std::uint64_t index = blocked_->total.load(std::memory_order_relaxed);
  BlockedStore& line = blocked_->lines[index % blocked_lines];
  line.number.store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  line.time_ns = note.time_ns;
  line.task = note.client->task;
  line.cell = note.client->cell;
  line.home = note.home;
  line.instruction = note.instruction;
  line.address = note.address;
  line.page = note.page;
  line.segment = note.segment;
  line.program = note.client->program;
  line.number.store(index + 1, std::memory_order_release);
  blocked_->total.store(index + 1, std::memory_order_release);
}

}  // namespace hive::cell
