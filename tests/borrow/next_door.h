// Lenders next door: homes in the same process, which are asked directly, and whose memory a
// borrower reaches only where it is open to it. They can be silent, lose answers, and die.
#pragma once

#include <array>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "cell/borrow/lenders.h"
#include "cell/home/home.h"
#include "memory_frames.h"

namespace hive::cell::test {

// The frames of a lender's node, and which of them are open to one other kernel.
class LenderNode final : public FrameMemory {
 public:
  explicit LenderNode(std::uint32_t pages) : frames(pages), open_(pages) {}

  Result<void> take_back(machine::PageRange range) override {
    const std::scoped_lock lock(mutex_);
    for (std::uint32_t p = range.first; p < range.end(); ++p) open_[p] = false;
    return frames.take_back(range);
  }
  Result<void> refill(machine::PageRange range) override { return frames.refill(range); }
  Result<void> read(std::uint64_t offset, std::span<std::byte> out) override {
    return frames.read(offset, out);
  }
  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    return frames.write(offset, bytes);
  }

  // As the borrower's kernel: false where it faults.
  bool load(std::uint64_t offset, std::span<std::byte> out) {
    const std::scoped_lock lock(mutex_);
    return is_open(offset, out.size()) && frames.read(offset, out).has_value();
  }
  bool store(std::uint64_t offset, std::span<const std::byte> bytes) {
    const std::scoped_lock lock(mutex_);
    return is_open(offset, bytes.size()) && frames.write(offset, bytes).has_value();
  }
  void set_open(machine::PageRange range, bool open) {
    const std::scoped_lock lock(mutex_);
    for (std::uint32_t p = range.first; p < range.end(); ++p) open_[p] = open;
  }

  MemoryFrames frames;

 private:
  bool is_open(std::uint64_t offset, std::size_t bytes) const {
    for (std::uint64_t p = offset / machine::page_bytes; p * machine::page_bytes < offset + bytes;
         ++p) {
      if (p >= open_.size() || !open_[p]) return false;
    }
    return true;
  }

  std::mutex mutex_;
  std::vector<bool> open_;
};

// The borrower's kernel, as a lender's client.
class KernelSpace final : public ClientSpace {
 public:
  explicit KernelSpace(LenderNode& node) : node_(node) {}
  Result<std::uint32_t> give(machine::PageRange range) override { return range.count; }
  Result<void> open(machine::PageRange range) override {
    node_.set_open(range, true);
    return {};
  }
  Result<void> close(machine::PageRange range) override {
    node_.set_open(range, false);
    return {};
  }
  void forget(machine::PageRange) override {}
  Result<std::uint32_t> give_at(std::uint64_t, std::uint32_t count) override { return count; }
  Result<void> open_at(std::uint64_t, std::uint32_t) override { return {}; }
  Result<void> close_at(std::uint64_t, std::uint32_t) override { return {}; }

 private:
  LenderNode& node_;
};

enum class Question : std::uint8_t { ask, hold, lose, renew, reopen, give_back, count_ };

class NextDoor final : public Lenders {
 public:
  NextDoor(const machine::Layout& layout, Borrower borrower)
      : layout_(layout), borrower_(borrower) {}

  struct Door {
    std::uint64_t incarnation = 0;
    std::unique_ptr<std::byte, decltype(&std::free)> heap_memory{nullptr, &std::free};
    std::unique_ptr<TaggedHeap> heap;
    std::unique_ptr<LenderNode> node;
    std::unique_ptr<Home> home;
  };
  static constexpr std::size_t heap_bytes = std::size_t{1} << 20;

  // A lender, or its next life.
  Home& start(CellId cell, std::uint64_t recall_ns = recall_max_ns) {
    auto door = std::make_shared<Door>();
    door->incarnation = ++incarnations_[static_cast<std::size_t>(cell)];
    auto* bytes =
        static_cast<std::byte*>(std::aligned_alloc(machine::page_bytes, heap_bytes));
    std::memset(bytes, 0, heap_bytes);
    door->heap_memory.reset(bytes);
    door->heap = std::make_unique<TaggedHeap>(bytes, heap_bytes);
    door->node = std::make_unique<LenderNode>(layout_.user_pages());
    Home::Parts parts;
    parts.self = cell;
    parts.layout = layout_;
    parts.heap = door->heap.get();
    parts.memory = door->node.get();
    parts.loans.recall_ns = recall_ns;
    door->home = *Home::create(parts);
    ClientInfo info;
    info.cell = borrower_.cell;
    info.kind = ClientKind::kernel;
    (void)door->home->add_client(info, std::make_shared<KernelSpace>(*door->node));
    Home& home = *door->home;
    const std::scoped_lock lock(mutex_);
    doors_[cell] = std::move(door);
    return home;
  }
  Home& home(CellId cell) {
    const std::scoped_lock lock(mutex_);
    return *doors_.at(cell)->home;
  }
  LenderNode& node(CellId cell) {
    const std::scoped_lock lock(mutex_);
    return *doors_.at(cell)->node;
  }
  // Its memory stays as it is until the last question has ended.
  void kill(CellId cell) {
    const std::scoped_lock lock(mutex_);
    doors_.erase(cell);
  }
  // The next questions of that kind are not heard, or their answers are lost.
  void drop(Question question, int times, bool after) {
    const std::scoped_lock lock(mutex_);
    dropped_[static_cast<std::size_t>(question)] = {times, after};
  }

  std::vector<LenderOffer> offers() const override {
    const std::scoped_lock lock(mutex_);
    std::vector<LenderOffer> offers;
    for (const auto& [cell, door] : doors_) {
      offers.push_back({cell, door->incarnation,
                        static_cast<std::uint32_t>(door->home->frames_in(FrameState::free))});
    }
    return offers;
  }
  Result<Loan> ask(CellId cell, const LoanWish& wish) override {
    return put<Loan>(Question::ask, cell, [&](Home& h) { return h.lend(borrower_, wish); });
  }
  Result<void> hold(CellId cell, std::uint64_t loan, std::span<HeldFrame> frames) override {
    return put<void>(Question::hold, cell,
                     [&](Home& h) { return h.hold_lent(borrower_, loan, frames); });
  }
  Result<void> lose(CellId cell, const LentFrames& which) override {
    return put<void>(Question::lose, cell, [&](Home& h) { return h.lose_lent(borrower_, which); });
  }
  Result<std::uint32_t> renew(CellId cell, const LentFrames& which) override {
    return put<std::uint32_t>(Question::renew, cell,
                              [&](Home& h) { return h.renew_lent(borrower_, which); });
  }
  Result<void> reopen(CellId cell, const LentFrames& which) override {
    return put<void>(Question::reopen, cell,
                     [&](Home& h) { return h.reopen_lent(borrower_, which); });
  }
  Result<void> give_back(CellId cell, std::uint64_t loan,
                         std::span<const machine::PageRange> runs) override {
    return put<void>(Question::give_back, cell,
                     [&](Home& h) { return h.take_return(borrower_, loan, runs); });
  }
  bool read(CellId cell, std::uint64_t offset, std::span<std::byte> out) override {
    const auto door = at(cell);
    return door != nullptr && door->node->load(offset, out);
  }
  bool write(CellId cell, std::uint64_t offset, std::span<const std::byte> bytes) override {
    const auto door = at(cell);
    return door != nullptr && door->node->store(offset, bytes);
  }

 private:
  struct Dropped {
    int times = 0;
    bool after = false;
  };
  std::shared_ptr<Door> at(CellId cell) const {
    const std::scoped_lock lock(mutex_);
    const auto found = doors_.find(cell);
    return found == doors_.end() ? nullptr : found->second;
  }
  template <class T, class Do>
  Result<T> put(Question question, CellId cell, Do act) {
    const auto door = at(cell);
    if (door == nullptr) return fail(Code::cell_down, "the lender is dead", cell);
    Dropped dropped;
    {
      const std::scoped_lock lock(mutex_);
      Dropped& next = dropped_[static_cast<std::size_t>(question)];
      if (next.times > 0) dropped = {next.times--, next.after};
    }
    const Failure silence = fail(Code::timed_out, "no answer", cell);
    if (dropped.times > 0 && !dropped.after) return silence;
    Result<T> done = act(*door->home);
    if (dropped.times > 0) return silence;
    return done;
  }

  const machine::Layout layout_;
  const Borrower borrower_;
  mutable std::mutex mutex_;
  std::map<CellId, std::shared_ptr<Door>> doors_;                              // by mutex_
  std::array<std::uint64_t, max_cells> incarnations_{};                        // by mutex_
  std::array<Dropped, static_cast<std::size_t>(Question::count_)> dropped_{};  // by mutex_
};

}  // namespace hive::cell::test
