// The first page of a node's kernel memory: what the machine itself publishes for the others.
// Written by the node's own kernel only; everybody else maps it read-only and treats it as input.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/ids.h"
#include "machine/layout.h"

namespace hive::machine {

inline constexpr std::uint32_t node_magic = 0x45564948;  // "HIVE"
inline constexpr std::uint32_t node_layout_version = 3;

// Watchers of a node's lifeline: one word each, because the death of its owner wakes one sleeper
// for each word. The cells 0..63, the power process, the monitor.
inline constexpr int lifeline_power = max_cells;
inline constexpr int lifeline_monitor = max_cells + 1;
inline constexpr int lifeline_count = max_cells + 2;

// An entry of a robust-futex list, as Linux walks it when the thread that registered it dies.
// `next` lies in memory that others only read, and is walked only on behalf of its own kernel.
struct LifelineEntry {
  std::uint64_t next = 0;
  std::atomic<std::uint32_t> word{
      0};  // thread id | FUTEX_WAITERS while alive; FUTEX_OWNER_DIED after
  std::uint32_t padding = 0;
};

struct alignas(page_bytes) NodeHeader {
  std::uint32_t magic;
  std::uint32_t layout_version;
  std::uint32_t node;
  std::uint32_t header_bytes;
  std::uint64_t incarnation;
  std::int32_t kernel_pid;
  std::uint32_t reserved0;

  // Offsets from the beginning of kernel memory.
  std::uint64_t rings_offset;     // SIPS rings, one for each receiver
  std::uint64_t consumed_offset;  // receive counters of SIPS, one for each sender
  std::uint64_t heap_offset;      // from here on the kernel's heap
  std::uint64_t root_offset;      // the cell's published root structure; the machine knows no more

  // Advanced by the receive loop on every tick; the next one comes within tick_ns, which grows on
  // a cell that has nothing to do.
  alignas(64) std::atomic<std::uint64_t> clock_word;
  std::atomic<std::uint64_t> tick_ns;
  std::atomic<std::uint32_t> busy;  // 1: it has something to do, so that ticks come often

  // A sender rings the doorbell only if the receiver says here that it sleeps.
  alignas(64) std::atomic<std::uint32_t> receiver_asleep;  // receive loop of SIPS
  alignas(64) std::atomic<std::uint32_t> gate_asleep;      // workers that serve tasks
  // Threads that wait with a futex on a ring of another cell for the reply to a call of theirs.
  alignas(64) std::atomic<std::uint32_t> reply_sleepers;

  // The live set as this cell sees it. epoch_word is the low half of epoch; it changes last, and
  // everybody who waits for another cell waits on it too.
  alignas(64) std::atomic<std::uint64_t> epoch;
  std::atomic<std::uint64_t> live_set;
  std::atomic<std::uint32_t> epoch_word;
  std::atomic<std::uint32_t> state;  // CellState
  // Changes whenever the cell has said something new about the live set; others sleep on it.
  std::atomic<std::uint32_t> member_word;

  alignas(64) LifelineEntry lifelines[lifeline_count];
};

static_assert(sizeof(LifelineEntry) == 16);
static_assert(sizeof(NodeHeader) == page_bytes);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

inline NodeHeader* node_header(const Layout& layout, CellId node) {
  return reinterpret_cast<NodeHeader*>(layout.kernel_begin(node));
}

}  // namespace hive::machine
