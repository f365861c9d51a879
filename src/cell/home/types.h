// Names, identities and bounds of what a home keeps for its clients.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <hive/error.h>
#include "base/ids.h"
#include "cell/frames/cache_frames.h"
#include "machine/layout.h"
#include "proto/gate.h"

namespace hive::cell {

// A client is one attached process; a number is never used again. Zero is nobody.
using ClientId = std::uint64_t;
using SegmentId = std::uint64_t;
// Windows and objects travel as 32 bits; a number is not used again while it is in use.
using WindowId = std::uint32_t;
using ObjectId = std::uint32_t;
using ViewId = std::uint64_t;

inline constexpr std::size_t clients_max = 512;
inline constexpr std::size_t segments_max = 1024;
inline constexpr std::size_t windows_max = 1024;            // of the whole cell
inline constexpr std::size_t windows_per_client_max = 256;
inline constexpr std::uint32_t opens_per_client_max = 65536;  // of one segment
inline constexpr std::uint64_t rollback_bytes_max = 64 << 20;  // kept for open windows
inline constexpr std::uint64_t store_bytes_max = 4096;  // of one store through the home
inline constexpr std::size_t views_per_client_max = 1024;
inline constexpr std::size_t objects_max = 4096;
inline constexpr std::size_t waits_max = 16384;             // calls parked in barriers and queues
inline constexpr std::size_t leases_per_client_max = 65536;
inline constexpr std::uint64_t barrier_parties_max = 4096;
inline constexpr std::size_t segment_name_max = 63;
inline constexpr std::size_t object_name_max = 31;

// A fault is answered with the aligned block of this many pages around it (64 KiB).
inline constexpr std::uint32_t fault_around_pages = 16;
// How long a call waits for another one that works on the same pages before it says busy. Longer
// than Linux was seen to hold up an ioctl (47 ms while a process of 2 GiB forked).
inline constexpr std::uint64_t page_wait_max_ns = 200'000'000;

enum class ClientKind : std::uint32_t { task = 1, kernel = 2 };

struct ClientInfo {
  std::uint64_t task = 0;
  CellId cell = -1;
  ClientKind kind = ClientKind::task;
  std::array<char, 64> program{};  // ends with a zero byte
};

// Why a client goes. Windows are torn in every case; only a death breaks barriers nobody waits in.
enum class Leave : std::uint8_t { detached, died, cell_down };

struct SegmentView {
  SegmentId id = 0;
  machine::PageRange pages;
  std::uint64_t losses = 0;  // address of the word that goes up when pages of it are torn
};

// A mutex or condition as a task needs it (proto/lock.h).
struct LockView {
  ObjectId object = 0;
  std::uint32_t page = 0;   // of the node
  std::uint32_t token = 0;  // the client's
  std::uint64_t state = 0;  // address of the LockState
};

// What a view shows of a file of this home.
struct FilePart {
  std::uint64_t file = 0;  // 0: of none, but the client's own memory
  std::uint32_t first_page = 0;
  bool writable = false;
  bool copies = false;  // of its own memory: a page has a frame only once it was copied
};

// A page of a view of the client's own memory that was touched. Of a view of copies: the pages of
// the block that are copied now (bit i: page i) if they have no frame yet, and what each of them
// holds, one after the other. No other page gets a frame.
struct ViewTouch {
  std::uint64_t page = 0;
  std::uint32_t copied = 0;
  std::span<const std::byte> content{};
};

// What a task is told whose page of a view is to be brought in.
struct ViewBlock {
  std::uint32_t show = 0;     // bit i: page i of the block has to be shown first; 0: it is there
  proto::ViewFrames frames{};
};

struct QueueProgress {
  std::uint64_t done = 0;
  std::uint64_t leased = 0;
  std::uint64_t handed_out_again = 0;
};

// What was here of a cell that went, for the post-mortem.
struct HomeLoss {
  struct Task {
    std::uint64_t task = 0;
    std::string program;
  };
  struct Range {  // a window that was open
    std::string segment;
    std::uint64_t offset = 0;  // in bytes
    std::uint64_t bytes = 0;
    std::uint64_t task = 0;   // whose it was
    bool put_back = false;    // to its last committed content; else torn
  };
  std::vector<Task> tasks;
  std::vector<Range> ranges;
  std::size_t locks = 0;  // held or waited for

  void add(HomeLoss other) {
    tasks.insert(tasks.end(), other.tasks.begin(), other.tasks.end());
    ranges.insert(ranges.end(), other.ranges.begin(), other.ranges.end());
    locks += other.locks;
  }
};
// The tasks of a dead cell are often seen to end before the cell is: what a task had that ended by
// itself is kept for so long, in case that its cell has died.
inline constexpr std::uint64_t loss_kept_ns = 1'000'000'000;
inline constexpr std::size_t losses_kept_max = 256;

// Called once with the outcome of a call that may wait, from whatever thread completes it, with no
// lock of the home held. Must not block.
using SyncDone = std::function<void(const Result<std::uint64_t>&)>;

// A range of a segment has lost its content; for those who have the segment open. Called with the
// home's mutex held, from any thread: must only note it.
using TornNews = std::function<void(std::span<const ClientId> clients, std::string_view segment,
                                    std::uint64_t offset, std::uint64_t bytes)>;

// Frames of files that a process could store to when it died: they hold anything at all from now
// on, and are taken back when the call returns. Called with no lock of the home held, perhaps
// before the first barrier of a recovery: must not wait.
using LostPages = std::function<void(std::span<const HeldFrame>)>;

// A line for the cell's log. Called with no lock of the home held, from any thread.
using LogLine = std::function<void(const std::string&)>;

// 1 to `max` printable ASCII characters, no '/'.
constexpr bool is_valid_name(std::string_view name, std::size_t max) {
  if (name.empty() || name.size() > max) return false;
  for (const char c : name) {
    if (c < 0x20 || c > 0x7e || c == '/') return false;
  }
  return true;
}

}  // namespace hive::cell
