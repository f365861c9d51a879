#include "fake_pages.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace hive::cell::test {

std::shared_ptr<FakeSpace> FakeNode::make_space() {
  auto space = std::make_shared<FakeSpace>(*this);
  const std::scoped_lock lock(mutex_);
  std::erase_if(spaces_, [](const auto& known) { return known.expired(); });
  spaces_.push_back(space);
  return space;
}

Result<void> FakeNode::take_back(PageRange range) {
  std::vector<std::shared_ptr<FakeSpace>> alive;
  std::function<void()> hook;
  {
    const std::scoped_lock lock(mutex_);
    for (std::uint32_t p = range.first; p < range.end(); ++p) {
      pages_[p].hole = true;
      pages_[p].content = 0;
      ++pages_[p].taken_back;
    }
    for (const auto& known : spaces_) {
      if (auto space = known.lock()) alive.push_back(std::move(space));
    }
    for (const auto& space : alive) {
      for (std::uint32_t p = range.first; p < range.end(); ++p) {
        space->entries_[p].entry = FakeSpace::Entry::none;
      }
      for (auto& [address, shown] : space->shown_) {
        if (range.contains(shown.frame)) shown.entry = FakeSpace::Entry::none;
      }
    }
    hook = std::exchange(take_back_hook_, nullptr);
  }
  if (hook) hook();
  return {};
}

Result<void> FakeNode::refill(PageRange range) {
  const std::scoped_lock lock(mutex_);
  if (refuse_refill_) return fail(Code::exhausted, "told to");
  for (const InFlight& call : in_flight_) {
    if (call.range.overlaps(range)) breaches_.emplace_back("refilled under a call in flight");
  }
  for (std::uint32_t p = range.first; p < range.end(); ++p) {
    if (!pages_[p].hole) breaches_.emplace_back("refilled what was not taken back");
    pages_[p].hole = false;
    pages_[p].content = 0;
  }
  return {};
}

namespace {

// Calls word(page, position in the bytes, how many of the word's) for each page whose first word
// begins in the range.
template <class Word>
void each_first_word(std::uint64_t offset, std::size_t bytes, Word word) {
  constexpr std::uint64_t size = machine::page_bytes;
  for (std::uint64_t at = (offset + size - 1) / size * size; at < offset + bytes; at += size) {
    const std::size_t position = static_cast<std::size_t>(at - offset);
    word(static_cast<std::uint32_t>(at / size), position,
         std::min(sizeof(std::uint64_t), bytes - position));
  }
}

}  // namespace

Result<void> FakeNode::read(std::uint64_t offset, std::span<std::byte> out) {
  std::function<void()> hook;
  {
    const std::scoped_lock lock(mutex_);
    hook = std::exchange(read_hook_, nullptr);
  }
  if (hook) hook();
  const std::scoped_lock lock(mutex_);
  std::fill(out.begin(), out.end(), std::byte{0});
  each_first_word(offset, out.size(), [&](std::uint32_t page, std::size_t at, std::size_t count) {
    std::memcpy(out.data() + at, &pages_[page].content, count);
  });
  return {};
}

Result<void> FakeNode::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  std::function<void()> hook;
  {
    const std::scoped_lock lock(mutex_);
    hook = std::exchange(write_hook_, nullptr);
  }
  if (hook) hook();
  const std::scoped_lock lock(mutex_);
  each_first_word(offset, bytes.size(), [&](std::uint32_t page, std::size_t at,
                                            std::size_t count) {
    std::memcpy(&pages_[page].content, bytes.data() + at, count);
    pages_[page].hole = false;
  });
  return {};
}

void FakeNode::enter_locked(const FakeSpace* space, PageRange range) {
  for (const InFlight& call : in_flight_) {
    if (call.space == space && call.range.overlaps(range)) {
      breaches_.emplace_back("two calls at once on the same pages of a client");
    }
  }
  in_flight_.push_back({space, range});
}

void FakeNode::leave_locked(const FakeSpace* space, PageRange range) {
  const auto at = std::find_if(in_flight_.begin(), in_flight_.end(), [&](const InFlight& call) {
    return call.space == space && call.range == range;
  });
  in_flight_.erase(at);
}

Result<void> FakeSpace::begin(SpaceCall call, PageRange range) {
  std::function<void(SpaceCall, PageRange)> hook;
  {
    const std::scoped_lock lock(node_.mutex_);
    node_.enter_locked(this, range);
    hook = hook_;
  }
  if (hook) hook(call, range);
  const std::scoped_lock lock(node_.mutex_);
  if (refused_ == call) return fail(Code::host, "told to", -1, 12);
  if (dead_) return fail(Code::not_found, "the process is gone");
  return {};
}

bool FakeSpace::install_locked(std::uint32_t page) {
  Slot& slot = entries_[page];
  if (slot.believed_given) return true;
  if (slot.entry == Entry::none) {
    if (node_.pages_[page].hole) return false;
    slot.entry = Entry::readable;
  }
  slot.believed_given = true;
  return true;
}

Result<std::uint32_t> FakeSpace::give(PageRange range) {
  auto begun = begin(SpaceCall::give, range);
  const std::scoped_lock lock(node_.mutex_);
  node_.leave_locked(this, range);
  if (!begun) return fail(begun.error());
  std::uint32_t there = 0;
  for (std::uint32_t p = range.first; p < range.end(); ++p) there += install_locked(p) ? 1 : 0;
  return there;
}

Result<void> FakeSpace::open(PageRange range) {
  auto begun = begin(SpaceCall::open, range);
  const std::scoped_lock lock(node_.mutex_);
  node_.leave_locked(this, range);
  if (!begun) return begun;
  for (std::uint32_t p = range.first; p < range.end(); ++p) {
    if (!install_locked(p)) return fail(Code::lost, "a hole");
    if (entries_[p].entry != Entry::none) entries_[p].entry = Entry::writable;
  }
  return {};
}

Result<void> FakeSpace::close(PageRange range) {
  auto begun = begin(SpaceCall::close, range);
  const std::scoped_lock lock(node_.mutex_);
  node_.leave_locked(this, range);
  if (!begun) return begun;
  for (std::uint32_t p = range.first; p < range.end(); ++p) {
    if (entries_[p].entry == Entry::writable) entries_[p].entry = Entry::readable;
  }
  return {};
}

void FakeSpace::forget(PageRange range) {
  const std::scoped_lock lock(node_.mutex_);
  for (std::uint32_t p = range.first; p < range.end(); ++p) entries_[p].believed_given = false;
}

// What the process has shown is one page after the other, each in a frame of its own.
Result<std::uint32_t> FakeSpace::install_at(SpaceCall call, std::uint64_t address,
                                            std::uint32_t count) {
  std::uint32_t there = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint32_t frame = 0;
    {
      const std::scoped_lock lock(node_.mutex_);
      const auto shown = shown_.find(address + i * machine::page_bytes);
      if (shown == shown_.end()) return fail(Code::not_found, "nothing is shown there");
      frame = shown->second.frame;
    }
    auto begun = begin(call, {frame, 1});
    const std::scoped_lock lock(node_.mutex_);
    node_.leave_locked(this, {frame, 1});
    if (!begun) return fail(begun.error());
    const auto still = shown_.find(address + i * machine::page_bytes);
    if (still == shown_.end()) return fail(Code::not_found, "nothing is shown there any more");
    Shown& shown = still->second;
    const bool is_hole = node_.pages_[frame].hole;
    if (is_hole && call == SpaceCall::open) return fail(Code::lost, "a hole");
    if (is_hole) continue;
    ++there;
    if (call == SpaceCall::open) shown.entry = Entry::writable;
    if (call == SpaceCall::close && shown.entry == Entry::writable) shown.entry = Entry::readable;
    if (call == SpaceCall::give && shown.entry == Entry::none) shown.entry = Entry::readable;
  }
  return there;
}

Result<std::uint32_t> FakeSpace::give_at(std::uint64_t address, std::uint32_t count) {
  return install_at(SpaceCall::give, address, count);
}
Result<void> FakeSpace::open_at(std::uint64_t address, std::uint32_t count) {
  const auto done = install_at(SpaceCall::open, address, count);
  if (!done) return fail(done.error());
  return {};
}
Result<void> FakeSpace::close_at(std::uint64_t address, std::uint32_t count) {
  const auto done = install_at(SpaceCall::close, address, count);
  if (!done) return fail(done.error());
  return {};
}

void FakeSpace::show(std::uint64_t address, std::uint32_t frame) {
  const std::scoped_lock lock(node_.mutex_);
  shown_[address] = {frame, Entry::none};
}

void FakeSpace::hide_all() {
  const std::scoped_lock lock(node_.mutex_);
  shown_.clear();
}

std::optional<std::uint64_t> FakeSpace::load_at(std::uint64_t address) const {
  const std::scoped_lock lock(node_.mutex_);
  const auto shown = shown_.find(address);
  if (dead_ || shown == shown_.end() || shown->second.entry == Entry::none) return std::nullopt;
  return node_.pages_[shown->second.frame].content;
}

bool FakeSpace::store_at(std::uint64_t address, std::uint64_t value) {
  const std::scoped_lock lock(node_.mutex_);
  const auto shown = shown_.find(address);
  if (dead_ || shown == shown_.end() || shown->second.entry != Entry::writable) return false;
  node_.pages_[shown->second.frame].content = value;
  return true;
}

std::optional<std::uint64_t> FakeSpace::load(std::uint32_t page) const {
  const std::scoped_lock lock(node_.mutex_);
  if (dead_ || entries_[page].entry == Entry::none) return std::nullopt;
  return node_.pages_[page].content;
}

bool FakeSpace::store(std::uint32_t page, std::uint64_t value) {
  const std::scoped_lock lock(node_.mutex_);
  if (dead_ || entries_[page].entry != Entry::writable) return false;
  node_.pages_[page].content = value;
  return true;
}

void FakeSpace::die() {
  const std::scoped_lock lock(node_.mutex_);
  dead_ = true;
  std::fill(entries_.begin(), entries_.end(), Slot{});
  shown_.clear();
}

void FakeSpace::on_call(std::function<void(SpaceCall, PageRange)> hook) {
  const std::scoped_lock lock(node_.mutex_);
  hook_ = std::move(hook);
}

void FakeSpace::refuse(std::optional<SpaceCall> call) {
  const std::scoped_lock lock(node_.mutex_);
  refused_ = call;
}

}  // namespace hive::cell::test
