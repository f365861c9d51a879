// The books of what is away: away_pages.h.

#include "cell/home/away_pages.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "proto/causes.h"

namespace hive::cell {

using home::ViewPages;
using proto::view_block_pages;

AwayPages::AwayPages(Home& home, AwayFrames& frames, AwayRules rules)
    : home_(home),
      frames_(frames),
      rules_(rules),
      node_frames_(home.parts_.layout.user_pages()) {
  {
    const Lock lock(home_.mutex_);
    HIVE_CHECK(home_.away_ == nullptr);
    home_.away_ = this;
  }
  frames_.use_owner(this);
}

AwayPages::~AwayPages() {
  frames_.use_owner(nullptr);
  const Lock lock(home_.mutex_);
  home_.away_ = nullptr;
}

AwayPages::Counts AwayPages::counts() const {
  const Lock lock(home_.mutex_);
  Counts counts = counts_;
  counts.away = book_.size();
  return counts;
}

ViewPages* AwayPages::find_locked(const Block& name) const {
  const auto place = home_.view_locked(name.client, name.view);
  if (!place) return nullptr;
  const auto block = place->view->blocks.find(name.number);
  return block == place->view->blocks.end() ? nullptr : &block->second;
}

bool AwayPages::wait_until_settled(Lock& lock, const Block& name) {
  return home_.calls_done_.wait_for(lock, std::chrono::nanoseconds(page_wait_max_ns), [&] {
    const ViewPages* const block = find_locked(name);
    return block == nullptr || block->moving == 0;
  });
}

// --- whose turn it is ---------------------------------------------------------------------------

void AwayPages::brought_in_locked(const Block& name, ViewPages& block) {
  const bool has_any = std::ranges::any_of(block.frames, [](auto f) { return f != home::none; });
  if (!has_any || block.turn != 0) return;
  block.turn = ++last_turn_;
  turns_.emplace(block.turn, name);
}

void AwayPages::leave_turn_locked(ViewPages& block) {
  turns_.erase(block.turn);
  block.turn = 0;
}

// Those that are moving are with as many threads as are in the home.
std::optional<AwayPages::Block> AwayPages::next_locked() const {
  for (const auto& [turn, name] : turns_) {
    if (find_locked(name)->moving == 0) return name;
  }
  return std::nullopt;
}

void AwayPages::drop_locked(ViewPages& block) {
  leave_turn_locked(block);
  for (std::uint32_t i = 0; i < view_block_pages; ++i) {
    if (block.away[i] == home::none || (block.moving >> i & 1) != 0) continue;
    book_.erase(block.away[i]);
    give_back_locked(block.away[i]);
  }
  release_if_idle_locked();
}

// --- borrowed frames ----------------------------------------------------------------------------

std::vector<std::uint32_t> AwayPages::take_slots_locked(std::size_t count, bool comes_back) {
  const std::size_t kept = comes_back ? 0 : away_reserve;
  if (idle_.size() < count + kept) {
    const auto missing = static_cast<std::uint32_t>(count + kept - idle_.size());
    for (const std::uint32_t slot : frames_.take_borrowed(missing)) put_idle_locked(slot);
  }
  std::vector<std::uint32_t> slots;
  // The lowest ones: those that were lent together are copied together.
  while (idle_.size() > kept && slots.size() < count) {
    slots.push_back(*idle_.begin());
    idle_.erase(idle_.begin());
  }
  idle_used_ = true;
  return slots;
}

std::optional<std::uint32_t> AwayPages::take_slot_locked(CellId not_of) {
  const auto find = [&] {
    return std::ranges::find_if(
        idle_, [&](std::uint32_t slot) { return frames_.place_of(slot).home != not_of; });
  };
  auto found = find();
  if (found == idle_.end()) {
    for (const std::uint32_t slot : frames_.take_borrowed(away_reserve)) put_idle_locked(slot);
    found = find();
  }
  if (found == idle_.end()) return std::nullopt;
  const std::uint32_t slot = *found;
  idle_.erase(found);
  return slot;
}

void AwayPages::put_idle_locked(std::uint32_t slot) {
  if (frames_.is_lost(slot)) return give_back_locked(slot);
  idle_.insert(slot);
}

void AwayPages::give_back_locked(std::uint32_t slot) { frames_.give_back_frames({&slot, 1}); }

void AwayPages::release_if_idle_locked() {
  if (!book_.empty() || idle_.empty()) return;
  const std::vector<std::uint32_t> slots(idle_.begin(), idle_.end());
  idle_.clear();
  frames_.give_back_frames(slots);
}

// Idle are those above the reserve that nothing has moved to since it was asked last.
void AwayPages::give_up_idle(PageRange range) {
  const Lock lock(home_.mutex_);
  if (std::exchange(idle_used_, false)) return;
  const std::size_t kept = book_.empty() ? 0 : away_reserve;
  while (idle_.size() > kept) {
    const std::uint32_t slot = *idle_.rbegin();
    if (!range.contains(slot)) break;
    idle_.erase(slot);
    give_back_locked(slot);
  }
}

// --- losses -------------------------------------------------------------------------------------

void AwayPages::lose_page_locked(ViewPages& block, std::uint32_t index, std::uint32_t slot) {
  block.lost_with[index] = static_cast<std::int8_t>(frames_.place_of(slot).home);
  block.away[index] = home::none;
  book_.erase(slot);
  give_back_locked(slot);
  ++counts_.lost;
}

// Who is told may be told late, when the borrowed frame is another one already.
void AwayPages::lose(std::span<const std::uint32_t> frames) {
  const Lock lock(home_.mutex_);
  for (const std::uint32_t slot : frames) {
    const auto found = book_.find(slot);
    const bool is_idle = idle_.contains(slot);
    if ((found == book_.end() && !is_idle) || !frames_.is_lost(slot)) continue;
    if (is_idle) {
      idle_.erase(slot);
      give_back_locked(slot);
      continue;
    }
    const Page page = found->second;
    ViewPages* const block = find_locked(page.block);
    // Whoever has it in hand finds out when it is done.
    if (block == nullptr || (block->moving >> page.index & 1) != 0) continue;
    lose_page_locked(*block, page.index, slot);
  }
  release_if_idle_locked();
}

// --- the books ----------------------------------------------------------------------------------

Result<void> AwayPages::check() const {
  const Lock lock(home_.mutex_);
  return check_locked();
}

Result<void> AwayPages::check_locked() const {
  const auto differs = [this](const char* what) {
    return fail(Code::corrupt, what, home_.parts_.self);
  };
  std::size_t settled = 0;
  std::size_t with_frames = 0;
  for (const auto& [client_id, client] : home_.clients_) {
    for (const auto& [view_id, view] : client->views) {
      for (const auto& [number, block] : view.blocks) {
        with_frames += block.turn != 0 ? 1 : 0;
        for (std::uint32_t i = 0; i < view_block_pages; ++i) {
          if (block.away[i] == home::none) continue;
          ++settled;
          const auto page = book_.find(block.away[i]);
          const bool is_it = page != book_.end() && page->second.index == i &&
                             page->second.block.client == client_id &&
                             page->second.block.view == view_id &&
                             page->second.block.number == number;
          const bool is_moving = (block.moving >> i & 1) != 0;
          if (!is_it || (block.frames[i] != home::none && !is_moving)) {
            return differs("a page of a task is away where it is not");
          }
        }
      }
    }
  }
  if (with_frames != turns_.size() || settled > book_.size() ||
      (settled < book_.size() && movers_ == 0)) {
    return differs("borrowed frames hold memory of nobody, or the other way round");
  }
  if (frames_.taken() != book_.size() + idle_.size()) {
    return differs("borrowed frames are taken for memory that is away, and nobody has them");
  }
  return {};
}

}  // namespace hive::cell
