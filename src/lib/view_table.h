// The views of this task (fence.h): which addresses it has mapped for what, and what happens when
// one is touched that is not there: the home names frames, they are shown, the home brings them
// in.
//
// A block of 64 KiB is brought in by one thread at a time, from the question to the end; without
// that a thread that was held up could show an old frame where the home has another one brought
// in. Whoever holds a block is in no signal handler but that of the fault itself, and waits only
// for cells.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include <hive/error.h>
#include "lib/fault_report.h"
#include "machine/layout.h"

namespace hive::lib {

class Peer;
class SessionImpl;

inline constexpr std::size_t mapped_views_max = 1024;
inline constexpr std::uint64_t view_block_bytes = 64 << 10;

// Set once, before anything else can see it; only `gone` changes.
struct MappedView {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  Peer* peer = nullptr;  // who has the memory
  std::uint64_t id = 0;      // there
  std::uint64_t handle = 0;  // of a file there; 0: anonymous memory
  bool writable = false;
  std::atomic<bool> gone{false};  // nothing is shown there any more
};

class ViewTable {
 public:
  explicit ViewTable(const machine::Layout& layout) : layout_(layout) {}
  ViewTable(const ViewTable&) = delete;
  ViewTable& operator=(const ViewTable&) = delete;

  // Addresses for a view, whole blocks of them, that are nobody else's until free(). Errors:
  // exhausted (there is no room).
  Result<std::uint64_t> take(std::uint64_t bytes);
  void free(std::uint64_t begin);

  // From now on touches are served. Errors: exhausted (too many).
  Result<MappedView*> enter(std::unique_ptr<MappedView> view);
  // Touches are not served any more, and nothing is shown there. No thread is at work on it.
  void leave(MappedView* view);
  // The same for all of a peer that goes; their addresses stay theirs.
  void hide_all_of(const Peer* peer);

  bool is_view(std::uint64_t address) const noexcept {
    return layout_.has_views() && address >= layout_.views_begin() &&
           address < layout_.views_end();
  }
  // Brings in what was touched. Errors: why it can't be; refused (nothing is mapped there, or not
  // for stores). `there`: which pages of the block have a frame now, a bit for each.
  // Async-signal-safe.
  Result<void> serve(SessionImpl& session, const Fault& fault,
                     std::uint32_t* there = nullptr) noexcept;

 private:
  class BlockLock;
  MappedView* find(std::uint64_t address) const noexcept;
  Result<void> bring_in(SessionImpl& session, const MappedView& view, const Fault& fault,
                        std::uint32_t* there) const noexcept;
  void wait_for_blocks() noexcept;

  static constexpr std::size_t block_locks = 64;
  const machine::Layout layout_;
  std::array<std::atomic<std::uint32_t>, block_locks> blocks_{};  // 0 free, 1 held; a futex
  std::array<std::atomic<MappedView*>, mapped_views_max> views_{};
  std::atomic<std::size_t> used_{0};  // one more than the highest place ever used
  std::mutex mutex_;
  std::map<std::uint64_t, std::uint64_t> taken_;  // begin -> end; guarded by mutex_
};

}  // namespace hive::lib
