// The frames of a node, as their memory home knows them: which are free, in runs; what each of the
// others is used for; and the published pfdats, which say the same. Knows nothing of page tables:
// who takes frames back from the processes that have them is its user's business.
//
// A frame goes  free -> segment | lock | cached | anonymous | lent -> cleaning -> free,  or
// straight back from use to free when nobody was given it. A cached or lent one also goes from
// page to page.
// Every call that finds a frame in another state than it may be in panics: the books of a cell are
// its own memory.
//
// Not thread-safe, but what is published may be read by anybody at any time.
#pragma once

#include <cstdint>
#include <optional>

#include <hive/error.h>
#include "base/ids.h"
#include "cell/frames/frame_allocator.h"
#include "cell/frames/pfdat.h"
#include "machine/layout.h"

namespace hive::cell {

// What a count of all frames has found.
struct FrameBooks {
  std::array<std::uint64_t, frame_states> counts{};  // at one moment
  Result<void> sound;  // errors: corrupt, with words that say what does not add up
};

class FrameTable {
 public:
  // All frames are free. `heap` outlives it. Errors: exhausted.
  static Result<FrameTable> create(TaggedHeap& heap, std::uint32_t pages);
  FrameTable(FrameTable&& other) noexcept;
  FrameTable& operator=(FrameTable&&) = delete;
  ~FrameTable();

  const PfdatTable& published() const { return *table_; }

  // A run of frames for one use, all zero. None: no run of that length is free.
  std::optional<machine::PageRange> allocate(std::uint32_t pages, FrameState use);
  // Says whose they are, once that has a number.
  void set_owner(machine::PageRange range, std::uint64_t owner);
  // The use ends. Nobody was given any of it.
  void free_untouched(machine::PageRange range);
  // The use ends; somebody may still see them.
  void begin_cleaning(machine::PageRange range);
  // They were taken back from everybody, and have new memory.
  void end_cleaning(machine::PageRange range);
  // What frames in use hold is lost, or is there again. Either may be said twice.
  void lose(machine::PageRange range);
  void regain(machine::PageRange range);

  // For the cache of files: at most `pages` frames, which hold nothing yet (odd); none of `avoid`.
  std::optional<machine::PageRange> take_cached(std::uint32_t pages, machine::PageRange avoid);
  // At most `pages` frames for another cell, in one run, which hold nothing yet; none of `avoid`.
  std::optional<machine::PageRange> lend(std::uint32_t pages, machine::PageRange avoid,
                                         CellId borrower, std::uint16_t loan_slot);
  bool is_lent(std::uint32_t frame, CellId borrower, std::uint16_t loan_slot) const;
  // -1: it is not lent.
  CellId borrower_of(std::uint32_t frame) const { return table_->at(frame).borrower.load(); }
  // Its number is odd.
  bool holds_nothing(std::uint32_t frame) const;
  // It holds this page from now on, until lose(); returns the even number that says so.
  std::uint64_t hold(std::uint32_t frame, std::uint64_t file, std::uint32_t page);
  bool holds(std::uint32_t frame, std::uint64_t file, std::uint32_t page,
             std::uint64_t sequence) const;
  // Some page of a file, which a reader may see.
  bool is_cached(std::uint32_t frame) const;
  // For a task's memory: a run of at most `pages`, whole if there is one, none of `avoid`.
  std::optional<machine::PageRange> take_anonymous(std::uint32_t pages, machine::PageRange avoid);
  // The run of that length which is cheapest to get: else than cached frames, and lent ones, which
  // cost more, only free ones are in it and those that are on their way there. None: what can't be
  // moved is everywhere in between.
  std::optional<machine::PageRange> cheapest_run(std::uint32_t pages) const;

  std::uint64_t count(FrameState state) const { return count_of(state).load(); }
  bool all(machine::PageRange range, FrameState state, std::uint64_t owner) const;
  // Counts everything anew. Errors: corrupt, with words that say what does not add up.
  Result<void> check() const;

 private:
  FrameTable(TaggedHeap& heap, PfdatTable* table)
      : heap_(&heap), table_(table), free_(table->pages) {}
  std::atomic<std::uint64_t>& count_of(FrameState state) const {
    return table_->counts[static_cast<std::size_t>(state)];
  }
  void move(machine::PageRange range, FrameState from, FrameState to);
  FrameState use_of(machine::PageRange range) const;

  TaggedHeap* heap_;
  PfdatTable* table_;
  FrameAllocator free_;
};

}  // namespace hive::cell
