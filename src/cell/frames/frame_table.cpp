#include "cell/frames/frame_table.h"

#include <array>
#include <utility>

#include "base/check.h"

namespace hive::cell {

using machine::PageRange;

namespace {

bool is_odd(const Pfdat& frame) { return frame.sequence.load(std::memory_order_relaxed) % 2 != 0; }

// Of files, of this cell or of the one that has borrowed it.
bool holds_pages(FrameState state) {
  return state == FrameState::cached || state == FrameState::lent;
}

// What it costs to get a frame that is none of a segment or lock.
std::uint32_t cost_of(FrameState state) {
  if (state == FrameState::lent) return 4;
  return state == FrameState::cached ? 1 : 0;
}

// Before anything of the frame changes, or after everything has. The fences keep it so for readers
// on other cells.
void make_odd(Pfdat& frame) {
  if (is_odd(frame)) return;
  frame.sequence.fetch_add(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}
void make_even(Pfdat& frame) {
  if (is_odd(frame)) frame.sequence.fetch_add(1, std::memory_order_release);
}

}  // namespace

Result<FrameTable> FrameTable::create(TaggedHeap& heap, std::uint32_t pages) {
  auto* table = heap.create_sized<PfdatTable>(PfdatTable::bytes_for(pages));
  if (table == nullptr) {
    return fail(Code::exhausted, "the kernel's heap has no room for the pfdats of its frames");
  }
  table->pages = pages;
  for (std::uint32_t page = 0; page < pages; ++page) new (&table->at(page)) Pfdat;
  FrameTable made(heap, table);
  made.count_of(FrameState::free).store(pages);
  return made;
}

FrameTable::FrameTable(FrameTable&& other) noexcept
    : heap_(other.heap_),
      table_(std::exchange(other.table_, nullptr)),
      free_(std::move(other.free_)) {}

FrameTable::~FrameTable() {
  if (table_ != nullptr) heap_->destroy_sized(table_, PfdatTable::bytes_for(table_->pages));
}

void FrameTable::move(PageRange range, FrameState from, FrameState to) {
  HIVE_CHECK(range.end() <= table_->pages);
  for (std::uint32_t page = range.first; page < range.end(); ++page) {
    auto& state = table_->at(page).state;
    HIVE_CHECK(state.load(std::memory_order_relaxed) == from);
    state.store(to, std::memory_order_relaxed);
  }
  count_of(from).fetch_sub(range.count, std::memory_order_relaxed);
  count_of(to).fetch_add(range.count, std::memory_order_relaxed);
}

FrameState FrameTable::use_of(PageRange range) const {
  HIVE_CHECK(range.count > 0 && range.end() <= table_->pages);
  const FrameState use = table_->at(range.first).state.load(std::memory_order_relaxed);
  HIVE_CHECK(use != FrameState::free && use != FrameState::cleaning);
  return use;
}

std::optional<PageRange> FrameTable::allocate(std::uint32_t pages, FrameState use) {
  const auto range = free_.allocate(pages);
  if (range) move(*range, FrameState::free, use);
  return range;
}

std::optional<PageRange> FrameTable::take_cached(std::uint32_t pages, PageRange avoid) {
  const auto range = free_.allocate_last(pages, avoid);
  if (!range) return range;
  for (std::uint32_t page = range->first; page < range->end(); ++page) make_odd(table_->at(page));
  move(*range, FrameState::free, FrameState::cached);
  return range;
}

std::optional<PageRange> FrameTable::lend(std::uint32_t pages, PageRange avoid, CellId borrower,
                                          std::uint16_t loan_slot) {
  const auto range = free_.allocate_last(pages, avoid);
  if (!range) return range;
  for (std::uint32_t page = range->first; page < range->end(); ++page) {
    Pfdat& pfdat = table_->at(page);
    make_odd(pfdat);
    pfdat.borrower.store(static_cast<std::int8_t>(borrower), std::memory_order_relaxed);
    pfdat.loan_slot.store(loan_slot, std::memory_order_relaxed);
  }
  move(*range, FrameState::free, FrameState::lent);
  return range;
}

bool FrameTable::is_lent(std::uint32_t frame, CellId borrower, std::uint16_t loan_slot) const {
  if (frame >= table_->pages) return false;
  const Pfdat& pfdat = table_->at(frame);
  return pfdat.state.load() == FrameState::lent && pfdat.borrower.load() == borrower &&
         pfdat.loan_slot.load() == loan_slot;
}

bool FrameTable::holds_nothing(std::uint32_t frame) const { return is_odd(table_->at(frame)); }

std::optional<PageRange> FrameTable::take_anonymous(std::uint32_t pages, PageRange avoid) {
  auto range = free_.allocate_last(pages, avoid, true);
  if (!range) range = free_.allocate_last(pages, avoid);
  if (range) move(*range, FrameState::free, FrameState::anonymous);
  return range;
}

std::uint64_t FrameTable::hold(std::uint32_t frame, std::uint64_t file, std::uint32_t page) {
  HIVE_CHECK(holds_pages(use_of({frame, 1})) && file != 0);
  Pfdat& pfdat = table_->at(frame);
  HIVE_CHECK(is_odd(pfdat));
  pfdat.owner.store(file, std::memory_order_relaxed);
  pfdat.page.store(page, std::memory_order_relaxed);
  make_even(pfdat);
  return pfdat.sequence.load(std::memory_order_relaxed);
}

bool FrameTable::holds(std::uint32_t frame, std::uint64_t file, std::uint32_t page,
                       std::uint64_t sequence) const {
  if (frame >= table_->pages) return false;
  const Pfdat& pfdat = table_->at(frame);
  return holds_pages(pfdat.state.load()) && pfdat.owner.load() == file &&
         pfdat.page.load() == page && pfdat.sequence.load() == sequence && !is_odd(pfdat);
}

bool FrameTable::is_cached(std::uint32_t frame) const {
  const Pfdat& pfdat = table_->at(frame);
  return holds_pages(pfdat.state.load(std::memory_order_relaxed)) && !is_odd(pfdat);
}

std::optional<PageRange> FrameTable::cheapest_run(std::uint32_t pages) const {
  if (pages == 0 || pages > table_->pages) return std::nullopt;
  std::optional<PageRange> best;
  std::uint32_t best_cost = 0;
  std::uint32_t cost = 0;   // of the last `length` ones
  std::uint32_t length = 0;
  const auto state = [this](std::uint32_t page) {
    return table_->at(page).state.load(std::memory_order_relaxed);
  };
  for (std::uint32_t page = 0; page < table_->pages; ++page) {
    if (state(page) == FrameState::segment || state(page) == FrameState::lock ||
        state(page) == FrameState::anonymous) {
      cost = length = 0;
      continue;
    }
    cost += cost_of(state(page));
    if (length == pages) {
      cost -= cost_of(state(page - pages));
    } else {
      ++length;
    }
    if (length < pages || (best && cost >= best_cost)) continue;
    best = PageRange{page + 1 - pages, pages};
    best_cost = cost;
  }
  return best;
}

void FrameTable::set_owner(PageRange range, std::uint64_t owner) {
  (void)use_of(range);
  for (std::uint32_t page = range.first; page < range.end(); ++page) {
    table_->at(page).owner.store(owner, std::memory_order_relaxed);
  }
}

void FrameTable::free_untouched(PageRange range) {
  if (range.count == 0) return;
  const FrameState use = use_of(range);
  for (std::uint32_t page = range.first; page < range.end(); ++page) {
    table_->at(page).owner.store(0, std::memory_order_relaxed);
    make_even(table_->at(page));
  }
  move(range, use, FrameState::free);
  free_.free(range);
}

void FrameTable::begin_cleaning(PageRange range) {
  lose(range);
  for (std::uint32_t page = range.first; page < range.end(); ++page) {
    table_->at(page).owner.store(0, std::memory_order_relaxed);
    table_->at(page).page.store(0, std::memory_order_relaxed);
    table_->at(page).borrower.store(-1, std::memory_order_relaxed);
    table_->at(page).loan_slot.store(0, std::memory_order_relaxed);
  }
  move(range, use_of(range), FrameState::cleaning);
}

void FrameTable::end_cleaning(PageRange range) {
  move(range, FrameState::cleaning, FrameState::free);
  for (std::uint32_t page = range.first; page < range.end(); ++page) make_even(table_->at(page));
  free_.free(range);
}

void FrameTable::lose(PageRange range) {
  (void)use_of(range);
  for (std::uint32_t page = range.first; page < range.end(); ++page) make_odd(table_->at(page));
}

void FrameTable::regain(PageRange range) {
  (void)use_of(range);
  for (std::uint32_t page = range.first; page < range.end(); ++page) make_even(table_->at(page));
}

bool FrameTable::all(PageRange range, FrameState state, std::uint64_t owner) const {
  if (range.end() > table_->pages) return false;
  for (std::uint32_t page = range.first; page < range.end(); ++page) {
    const Pfdat& frame = table_->at(page);
    if (frame.state.load() != state || frame.owner.load() != owner) return false;
  }
  return true;
}

Result<void> FrameTable::check() const {
  std::array<std::uint64_t, frame_states> seen{};
  for (std::uint32_t page = 0; page < table_->pages; ++page) {
    const Pfdat& frame = table_->at(page);
    const FrameState state = frame.state.load();
    if (state >= FrameState::count_) {
      return fail(Code::corrupt, "a frame is in a state that there is not");
    }
    ++seen[static_cast<std::size_t>(state)];
    const bool must_be_even = state == FrameState::free;
    const bool must_be_odd = state == FrameState::cleaning;
    if ((must_be_even && is_odd(frame)) || (must_be_odd && !is_odd(frame))) {
      return fail(Code::corrupt, "the sequence number of a frame does not go with its state");
    }
    const bool is_used = state != FrameState::free && state != FrameState::cleaning;
    if (!is_used && frame.owner.load() != 0) {
      return fail(Code::corrupt, "a frame that is not used has an owner");
    }
    const bool holds_a_page = holds_pages(state) && !is_odd(frame);
    if ((holds_a_page && frame.owner.load() == 0) ||
        (!holds_pages(state) && frame.page.load() != 0)) {
      return fail(Code::corrupt, "the page that a frame holds does not go with its state");
    }
    if ((state == FrameState::lent) != (frame.borrower.load() >= 0)) {
      return fail(Code::corrupt, "a frame is lent to nobody, or has a borrower and is not lent");
    }
  }
  for (std::size_t i = 0; i < frame_states; ++i) {
    if (seen[i] != table_->counts[i].load()) {
      return fail(Code::corrupt, "the count of frames in a state is not that of the pfdats");
    }
  }
  bool are_free = free_.free_pages() == count(FrameState::free);
  free_.visit([&](PageRange run) { are_free = are_free && all(run, FrameState::free, 0); });
  if (!are_free) {
    return fail(Code::corrupt, "the runs of free frames are not those of the pfdats");
  }
  return {};
}

}  // namespace hive::cell
