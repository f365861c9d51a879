// A gate: how a task calls a cell. Each task has one with each cell whose memory it uses; its own
// cell is not in the path to another. Like SIPS, it needs no remote store:
//
//   GateRequests  in memory of the task   written by the task, read (copied, then checked) by the
//   cell GateReplies   in the cell's kernel memory, tagged   written by the cell, read by the task
//
// A call: take a free slot i; fill requests.slots[i]; store n+1 to requests.posted[i] (release);
// full fence; if the cell's header says gate_asleep, write its doorbell. Then wait until
// replies.slots[i].sequence == n+1. To sleep: set slots[i].sleeping, full fence, look again, then
// futex-wait on that sequence *and* on the epoch word of the task's own cell, so that the death of
// the serving cell ends the wait. The cell wakes after a reply only if slots[i].sleeping.
// A waiting call carries its deadline and is answered timed_out by the cell; the task itself waits
// a grace longer and then takes the cell for hung.
//
// Pages in requests count from the beginning of the segment that is named beside them. A segment's
// own first page, in replies, counts from the beginning of its home's user memory. Slot i is used
// by one call at a time: its next sequence number is one more than the last one, and is posted
// after the reply to the last one has been seen.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace hive::proto {

inline constexpr std::uint32_t gate_slots = 32;
inline constexpr std::uint32_t gate_magic = 0x47565648;
inline constexpr std::uint64_t gate_reply_grace_ns = 2'000'000'000;

enum class GateOp : std::uint16_t {
  none = 0,
  null,           // answers at once; values[0] = args[0]
  fault,          // args: address, is_store, instruction. Gives 64 KiB around, or says why not
  window_open,    // args: segment, first page, pages, mode (0 exclusive, 1 shared) -> window id
  window_commit,  // args: window
  window_abort,   // args: window: tears its range
  // Both say where the segment lies: its number, first page, pages, and the address of a word in
  // kernel memory that goes up whenever pages of it are torn.
  segment_create,   // args: bytes, flags; name
  segment_open,     // name; not_found also when the home is another cell
  segment_find,     // (own cell) name -> home cell; looks at every live cell
  segment_close,    // args: segment
  segment_destroy,  // args: segment
  segment_reset,    // args: segment, first page, pages
  segment_give,     // args: segment, first page, pages: makes them present
  sync_open,        // args: segment, kind (SyncKind), parameter; name -> object
  counter_add,      // args: object, delta -> before
  barrier_arrive,   // args: object; waits
  barrier_reset,    // args: object, parties
  queue_take,       // args: object; waits -> item (all ones: every item is done)
  queue_done,       // args: object, item
  queue_next,       // args: object, item that is done; waits -> item, as queue_take
  queue_progress,   // args: object -> done, leased, handed out again
  segment_store,    // args: segment, offset, bytes: stores the data of the slot there
  lock_open,   // args: segment, kind (LockKind); name -> object, page of the node, token, record
  lock_reset,  // args: object
  page_give,  // args: pages; WantedPage each (pages.h): gives those that their frames still hold
              // for reading -> how many
  // Files (files.h). `name` and `target` are in the data of the request. Directories are named by
  // their number; they lie on the cell that is called. Answers with data say how many bytes in
  // values[2] and where in values[3]: an address in the cell's kernel memory, good until the slot
  // is used again.
  file_lookup,     // args: directory; name -> entry
  file_make,       // args: directory, kind, mode, data home, bytes of name; name, target -> entry
  file_remove,     // args: directory, kind (file for all but directories); name
  file_rename,     // args: directory, home and directory of the target, bytes of name; both names
  file_list,       // args: directory; last name so far -> whether there are more; data
  file_open,       // args: file, flags -> handle, bytes, address of its record, generation
  file_close,      // args: handle
  file_read,       // args: handle, offset, bytes -> data
  file_write,      // args: handle, offset, bytes, append; data -> bytes, where they begin
  file_resize,     // args: handle, bytes
  file_sync,       // args: handle; or 0, directory
  file_status,     // args: handle or 0, object -> data
  file_set,        // args: object, what, mode or time of access, time of modification
  file_read_link,  // args: link -> data
  file_space,      // -> bytes, bytes that are free
  // Views (hive/mapping.h): addresses of the task at which single frames lie side by side. Pages
  // count from the beginning of the view; a fault is about the aligned block around the page.
  view_map,    // args: address, bytes, copies -> view, of anonymous memory. Copies: a page is
               // there only once it was copied; may lie over a view of a file for reading
  view_unmap,  // args: view
  view_fault,  // args: view, page, is_store, pages (bit i: page i of the block) to be copied if
               // they are not yet; their content, one after the other -> bit i: page i is to be
               // shown, then view_give is next, else all is done; data: ViewFrames
  view_give,   // args: view, page: they are shown now
  file_map,    // args: handle, address, bytes, first page of the file, writable -> view, handle
               // of its own, which file_close ends and file_sync syncs after view_unmap
  file_fault,  // args: view, page, is_store, handle of the view, pages (bit i: page i of the
               // block) that are copies and not to be touched -> as view_fault
  count_       // number of operations
};

inline constexpr std::uint32_t view_block_pages = 16;
// Of each page of a block the address of the frame at its node; 0: none is to be had just now.
using ViewFrames = std::array<std::uint64_t, view_block_pages>;

enum class SyncKind : std::uint64_t { counter = 1, barrier = 2, queue = 3 };

// Which page holds what of a lock is in lock.h.
enum class LockKind : std::uint64_t { mutex = 1, condition = 2 };

inline constexpr std::uint64_t segment_flag_keep = 1;
inline constexpr std::uint64_t segment_flag_rollback = 2;

struct alignas(64) GateRequest {
  GateOp op = GateOp::none;
  std::uint16_t reserved = 0;
  std::atomic<std::uint32_t> sleeping{0};
  std::uint64_t deadline_ns = 0;  // CLOCK_MONOTONIC, for calls that may wait
  std::array<std::uint64_t, 6> args{};
  std::array<char, 64> name{};    // ends with a zero byte
};
static_assert(sizeof(GateRequest) == 128);

struct GateRequests {
  alignas(64) std::uint32_t magic = gate_magic;
  std::atomic<std::uint32_t> slots_used{0};  // one more than the highest slot ever used
  std::array<std::atomic<std::uint32_t>, gate_slots> posted{};
  std::array<GateRequest, gate_slots> slots{};
};

struct alignas(64) GateReply {
  std::atomic<std::uint32_t> sequence{0};  // of the request that is answered; a futex
  std::uint16_t failed = 0;                // 0: values; 1: code, cell, cause, lost range
  std::uint16_t cause = 0;                 // index into causes.h
  std::uint8_t code = 0;                   // hive::Code
  std::uint8_t reserved = 0;
  std::int16_t cell = -1;
  std::int32_t sys_errno = 0;
  std::array<std::uint64_t, 4> values{};   // failed with `lost`: offset and length in the segment
};
static_assert(sizeof(GateReply) == 64);

struct GateReplies {
  std::array<GateReply, gate_slots> slots{};
};

// The memfd of the requests, sealed against shrinking: GateRequests; from gate_data_offset on the
// data of each slot; and `used`, in which a task that reads pages in place marks them: a word for
// each entry of the cell's page table (pages.h), modulo their number, with the `sweep` that it saw
// there. Nothing takes memory before it is used.
inline constexpr std::uint64_t gate_data_offset = 8192;
inline constexpr std::uint64_t gate_data_bytes = 64 << 10;   // of each slot; a block of a view
inline constexpr std::uint64_t gate_store_bytes_max = 4096;  // of a segment_store
// Data of an answer: whole pages, and with its head a power of two.
inline constexpr std::uint64_t gate_answer_bytes_max = 60 << 10;
inline constexpr std::uint64_t gate_used_offset = gate_data_offset + gate_slots * gate_data_bytes;
inline constexpr std::uint32_t gate_used_words = 1 << 18;  // a node of 1 GiB has as many frames
inline constexpr std::uint64_t gate_request_bytes =
    gate_used_offset + std::uint64_t{gate_used_words} * sizeof(std::uint32_t);
static_assert(sizeof(GateRequests) <= gate_data_offset);

}  // namespace hive::proto
