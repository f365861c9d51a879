// The views of this task (fence.h): which addresses it has mapped for what, and what happens when
// one is touched that is not there: the home names frames, they are shown, the home brings them
// in.
//
// A private mapping of a file has two at the same addresses: one of the file, for reading, and one
// of copies in memory of the task's own cell. A page is shown by the first until it is stored to,
// and by the second from then on. The file's frames are never mapped writable there, so whatever a
// home believes is shown, no store gets to them.
//
// A block of 64 KiB is brought in by one thread at a time, from the question to the end; without
// that a thread that was held up could show an old frame where the home has another one brought
// in. Whoever holds a block is in no signal handler but that of the fault itself, and waits only
// for cells.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include <hive/error.h>
#include "lib/fault_report.h"
#include "lib/gate_client.h"
#include "machine/layout.h"

namespace hive::lib {

class Peer;
class SessionImpl;

inline constexpr std::size_t mapped_views_max = 1024;
inline constexpr std::uint64_t view_block_bytes = 64 << 10;

// A view as the cell has it whose memory it is.
struct ViewAt {
  Peer* peer = nullptr;
  std::uint64_t id = 0;
  std::uint64_t handle = 0;  // of a file there; 0: anonymous memory
};

// What a private mapping shows of a file, where the task has no copies.
struct ViewSource : ViewAt {
  // Room to note the copies of a view of so many bytes. Errors: exhausted.
  Result<void> take_room(std::uint64_t bytes);

  std::uint64_t first_page = 0;   // of the file
  std::atomic<bool> gone{false};  // nothing of it is shown any more
  struct Free {
    void operator()(std::uint16_t* memory) const { std::free(memory); }
  };
  // Of each block: bit i: page i is a copy. Changes with the block's lock.
  std::unique_ptr<std::uint16_t[], Free> copied;
  std::atomic_ref<std::uint16_t> copied_of(std::uint64_t page) const {
    return std::atomic_ref(copied[page / proto::view_block_pages]);
  }
};

// Set once, before anything else can see it, but for what is said to change.
struct MappedView : ViewAt {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool writable = false;
  bool is_private = false;
  std::unique_ptr<ViewSource> source;  // null: all that it shows is of the one view
  std::atomic<bool> gone{false};  // nothing of anybody's memory is shown there any more
  bool hidden = false;            // its addresses are what they were before. Guarded by the table
};

class ViewTable {
 public:
  explicit ViewTable(const machine::Layout& layout) : layout_(layout) {}
  ViewTable(const ViewTable&) = delete;
  ViewTable& operator=(const ViewTable&) = delete;

  // The task's own cell, which all else ends before.
  void use_own(Peer* own) { own_ = own; }

  // Addresses for a view, whole blocks of them, that are nobody else's until free(). Errors:
  // exhausted (there is no room).
  Result<std::uint64_t> take(std::uint64_t bytes);
  void free(std::uint64_t begin);

  // From now on touches are served. Errors: exhausted (too many).
  Result<MappedView*> enter(std::unique_ptr<MappedView> view);
  // Touches are not served any more, and nothing is shown there. No thread is at work on it.
  void leave(MappedView* view);
  // The same for all of a peer that goes; their addresses stay theirs. Copies of its files stay.
  void hide_all_of(const Peer* peer);
  // So that Linux knows the addresses as mapped, and a touch of what can't be brought in is
  // SIGBUS, as of other mappings, and not SIGSEGV, they show something: frames of the peer, of
  // which none is ever brought in there.
  Result<void> show_nothing(Peer& peer, std::uint64_t begin, std::uint64_t end,
                            bool writable) const;

  bool is_view(std::uint64_t address) const noexcept {
    return layout_.has_views() && address >= layout_.views_begin() &&
           address < layout_.views_end();
  }
  // Brings in what was touched. Errors: why it can't be; refused (nothing is mapped there, or not
  // for stores). Async-signal-safe. `room`: for a block; then all pages of the block are copied at
  // once that a private mapping has to copy. `there`: of anonymous memory, which pages of the
  // block have a frame now, a bit for each.
  Result<void> serve(SessionImpl& session, const Fault& fault, std::span<std::byte> room = {},
                     std::uint32_t* there = nullptr) noexcept;

 private:
  class BlockLock;
  // A question to the cell of a view, and what of the answer is to be shown how.
  struct Asked {
    const ViewAt& at;
    GateCall call;
    bool writable = false;
    std::optional<std::atomic_ref<std::uint16_t>> copies{};  // what it names is added
    std::uint32_t others = 0;         // pages of the block (bit i: page i) that are not the view's
    std::uint32_t* there = nullptr;   // those that have a frame are added
  };
  MappedView* find(std::uint64_t address) const noexcept;
  Result<void> bring_in(SessionImpl& session, const MappedView& view,
                        const Fault& fault, std::uint32_t* there) const noexcept;
  Result<void> ask_and_show(SessionImpl& session, const MappedView& view, const Fault& fault,
                            Asked asked) const noexcept;
  void cover(MappedView& view, bool own_is_there) const;
  void cover_source(const MappedView& view);
  void wait_for_blocks() noexcept;
  // private_view.cpp
  Result<void> bring_in_private(SessionImpl& session, const MappedView& view, const Fault& fault,
                                std::span<std::byte> room) const noexcept;
  Result<void> copy_pages(SessionImpl& session, const MappedView& view, const Fault& fault,
                          std::span<std::byte> room) const noexcept;

  static constexpr std::size_t block_locks = 64;
  using PageRoom = std::array<std::byte, machine::page_bytes>;
  const machine::Layout layout_;
  std::array<std::atomic<std::uint32_t>, block_locks> blocks_{};  // 0 free, 1 held; a futex
  std::array<std::atomic<MappedView*>, mapped_views_max> views_{};
  std::atomic<std::size_t> used_{0};  // one more than the highest place ever used
  Peer* own_ = nullptr;
  std::unique_ptr<PageRoom[]> rooms_;  // of each lock of blocks; there once a view has a source
  std::mutex mutex_;
  std::map<std::uint64_t, std::uint64_t> taken_;  // begin -> end; guarded by mutex_
};

}  // namespace hive::lib
