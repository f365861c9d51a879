// What a home remembers of its clients, segments and windows. Private to Home; guarded by its
// mutex except where a field says otherwise.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <hive/window.h>
#include "cell/frames/cache_frames.h"
#include "cell/home/page_calls.h"
#include "cell/home/page_tables.h"
#include "cell/home/published.h"

namespace hive::cell::home {

// opening and closing: a call on the client's page tables is under way, without the mutex.
enum class WindowState : std::uint8_t { opening, open, closing };

struct Window {
  WindowId id = 0;
  ClientId client = 0;
  SegmentId segment = 0;
  machine::PageRange pages;
  WindowMode mode = WindowMode::exclusive;
  WindowState state = WindowState::opening;
  std::uint32_t slot = 0;  // of the published table
  bool own_cell = false;   // the client is of this cell
  bool rollback = false;   // torn, it is put back to `before`
  // What the pages held when it was opened. Null: none of them has been opened yet.
  std::shared_ptr<const std::vector<std::byte>> before;
};

inline constexpr std::uint32_t none = ~std::uint32_t{0};

// Pages of a view that are brought in together.
using BlockFrames = std::array<std::uint32_t, proto::view_block_pages>;
struct ViewPages {
  ViewPages() {
    frames.fill(none);
    shown.fill(none);
    told.fill(none);
    away.fill(none);
    lost_with.fill(-1);
  }
  BlockFrames frames;  // of the node; none: no frame yet
  // What the process has shown there, as it said itself. What it touches there is brought in only
  // when that is the frame of the page, so a wrong one costs a fault.
  BlockFrames shown;
  // What it was told to show, and has not said yet that it does. Meanwhile the page may have left
  // for another frame.
  BlockFrames told;
  // Of a file: the number of the frame when it held the page. It may hold another one by now.
  std::array<std::uint64_t, proto::view_block_pages> sequences{};
  // Of anonymous memory: the borrowed frame that holds a page which is away (away_pages.h), and
  // whose cell took a page along that is lost.
  std::array<std::uint32_t, proto::view_block_pages> away;
  std::array<std::int8_t, proto::view_block_pages> lost_with;
  std::uint32_t moving = 0;  // bit i: page i is in somebody's hands, on its way to another frame
  std::uint64_t turn = 0;    // when it moves away; 0: nothing of it is in a frame of the node
};

// Addresses of a client that stand for single frames: the client's own, or those of a file.
struct View {
  ViewId id = 0;
  ClientId client = 0;
  std::uint64_t address = 0;
  std::uint64_t pages = 0;
  FilePart part;  // file 0: anonymous memory
  std::unordered_map<std::uint64_t, ViewPages> blocks;
};

struct BlockName {
  ClientId client = 0;
  ViewId view = 0;
  std::uint64_t number = 0;
};

// Pages of a view that can be brought in together.
struct ShownRun {
  std::uint64_t address = 0;
  machine::PageRange frames;
  bool open = false;
  PageCalls::Ticket ticket = 0;
};

// A view through which a client may store to a frame of a file, or is about to.
struct Opener {
  ClientId client = 0;
  ViewId view = 0;
  std::uint64_t page = 0;     // of the view
  std::uint64_t address = 0;  // of the process
  std::shared_ptr<ClientSpace> space;
  HeldFrame held;
};

struct Client {
  ClientId id = 0;
  ClientInfo info;                     // never changes
  std::shared_ptr<ClientSpace> space;  // never changes
  std::unordered_map<SegmentId, std::uint32_t> opens;  // how often each
  std::vector<WindowId> windows;
  std::map<ViewId, View> views;
};

// A view that was looked up, and whose it is.
struct ViewPlace {
  std::shared_ptr<Client> client;
  View* view = nullptr;
};

struct Segment {
  SegmentId id = 0;
  std::string name;
  machine::PageRange pages;
  bool keep = false;
  bool destroyed = false;
  bool rollback = false;       // a window that is torn is put back instead
  std::uint32_t clients = 0;  // that have it open
  std::vector<WindowId> windows;
  SegmentRecord* record = nullptr;
};

// Pages of a segment that a client has open.
struct Place {
  std::shared_ptr<Client> client;
  Segment* segment = nullptr;
  machine::PageRange range;  // of the node
};

// Pages that are to have their last committed content again.
struct Restore {
  SegmentId segment = 0;
  machine::PageRange pages;
  std::shared_ptr<const std::vector<std::byte>> content;
};

struct Tear {
  std::vector<machine::PageRange> ranges;
  std::vector<PageCalls::Ticket> tickets;
  std::vector<Restore> restores;
  std::uint64_t pages = 0;
};

// Of a client that left.
struct LockLoss {
  std::shared_ptr<Client> client;
  ObjectId object = 0;
  std::uint32_t page = 0;
};

}  // namespace hive::cell::home
