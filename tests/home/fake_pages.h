// Page tables and frames made of arrays: they behave as the machine's do (a give skips holes, a
// belief about what was given may be stale until forgotten), and note every breach of what a home
// promises.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cell/home/page_tables.h"

namespace hive::cell::test {

using machine::PageRange;

class FakeSpace;

// The frames of a node. Thread-safe. Everything is under one mutex, as memory is coherent.
class FakeNode final : public FrameMemory {
 public:
  explicit FakeNode(std::uint32_t pages) : pages_(pages) {}

  Result<void> take_back(PageRange range) override;
  Result<void> refill(PageRange range) override;
  // Of each page only the first word is kept.
  Result<void> read(std::uint64_t offset, std::span<std::byte> out) override;
  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) override;

  std::shared_ptr<FakeSpace> make_space();
  std::vector<std::string> breaches() const {
    const std::scoped_lock lock(mutex_);
    return breaches_;
  }
  std::uint64_t times_taken_back(std::uint32_t page) const {
    const std::scoped_lock lock(mutex_);
    return pages_[page].taken_back;
  }
  void refuse_refill(bool refuse) {
    const std::scoped_lock lock(mutex_);
    refuse_refill_ = refuse;
  }
  // Runs in the middle of the next write, before anything is changed, with no lock held.
  void on_write(std::function<void()> hook) {
    const std::scoped_lock lock(mutex_);
    write_hook_ = std::move(hook);
  }
  // Runs at the begin of the next read, with no lock held.
  void on_read(std::function<void()> hook) {
    const std::scoped_lock lock(mutex_);
    read_hook_ = std::move(hook);
  }
  // Runs in the middle of the next take_back, with no lock held.
  void on_take_back(std::function<void()> hook) {
    const std::scoped_lock lock(mutex_);
    take_back_hook_ = std::move(hook);
  }

 private:
  friend class FakeSpace;
  struct Page {
    bool hole = false;
    std::uint64_t content = 0;
    std::uint64_t taken_back = 0;
  };
  struct InFlight {
    const FakeSpace* space;
    PageRange range;
  };
  void enter_locked(const FakeSpace* space, PageRange range);
  void leave_locked(const FakeSpace* space, PageRange range);

  mutable std::mutex mutex_;
  std::vector<Page> pages_;
  std::vector<std::weak_ptr<FakeSpace>> spaces_;
  std::vector<InFlight> in_flight_;
  std::vector<std::string> breaches_;
  bool refuse_refill_ = false;
  std::function<void()> take_back_hook_;
  std::function<void()> write_hook_;
  std::function<void()> read_hook_;
};

enum class SpaceCall : std::uint8_t { give, open, close };

class FakeSpace final : public ClientSpace {
 public:
  explicit FakeSpace(FakeNode& node) : node_(node), entries_(node.pages_.size()) {}

  Result<std::uint32_t> give(PageRange range) override;
  Result<void> open(PageRange range) override;
  Result<void> close(PageRange range) override;
  void forget(PageRange range) override;
  Result<std::uint32_t> give_at(std::uint64_t address, std::uint32_t count) override;
  Result<void> open_at(std::uint64_t address, std::uint32_t count) override;
  Result<void> close_at(std::uint64_t address, std::uint32_t count) override;

  // What the process does. None / false: a fault.
  void show(std::uint64_t address, std::uint32_t frame);
  void hide_all();
  std::optional<std::uint64_t> load_at(std::uint64_t address) const;
  bool store_at(std::uint64_t address, std::uint64_t value);
  std::optional<std::uint64_t> load(std::uint32_t page) const;
  bool store(std::uint32_t page, std::uint64_t value);
  // The process ends: its page tables are gone.
  void die();
  // Runs in the middle of every call until it is replaced, with no lock held.
  void on_call(std::function<void(SpaceCall, PageRange)> hook);
  // The calls of that kind fail as if Linux refused.
  void refuse(std::optional<SpaceCall> call);

 private:
  enum class Entry : std::uint8_t { none, readable, writable };
  struct Slot {
    Entry entry = Entry::none;
    bool believed_given = false;
  };
  struct Shown {
    std::uint32_t frame = 0;
    Entry entry = Entry::none;
  };
  Result<void> begin(SpaceCall call, PageRange range);
  Result<std::uint32_t> install_at(SpaceCall call, std::uint64_t address, std::uint32_t count);
  void run_hook(SpaceCall call, PageRange range);
  bool install_locked(std::uint32_t page);

  friend class FakeNode;
  FakeNode& node_;
  std::map<std::uint64_t, Shown> shown_;  // by address; guarded by node_.mutex_
  std::vector<Slot> entries_;  // this and all that follows: guarded by node_.mutex_
  bool dead_ = false;
  std::function<void(SpaceCall, PageRange)> hook_;
  std::optional<SpaceCall> refused_;
};

}  // namespace hive::cell::test
