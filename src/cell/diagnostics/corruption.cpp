#include "cell/diagnostics/corruption.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <initializer_list>

#include "cell/careful/careful.h"
#include "cell/gate/gate.h"
#include "cell/files/cache_table.h"
#include "cell/frames/pfdat.h"
#include "cell/home/lock_table.h"
#include "cell/home/published.h"
#include "cell/member/published.h"
#include "cell/task/task_table.h"
#include "machine/sips.h"

namespace hive::cell {
namespace {

using machine::NodeHeader;
using Pieces = std::vector<PublishedPiece>;
using Memory = PublishedMemory;
using Words = std::initializer_list<std::size_t>;  // offsets of pointers

constexpr std::uint64_t word_bytes = sizeof(std::uint64_t);

PublishedPiece piece(std::uint64_t address, std::uint64_t bytes, Words pointers = {}) {
  PublishedPiece made{address, bytes / word_bytes * word_bytes};
  for (const std::size_t offset : pointers) made.pointers.push_back(address + offset);
  return made;
}

std::uint64_t header_of(const Memory& memory) { return memory.layout.kernel_begin(memory.self); }

// Objects of the heap are told by their tags, which stand where a block may begin.
Pieces tagged(const Memory& memory, std::uint32_t type, std::uint64_t bytes, Words pointers = {}) {
  Pieces found;
  const auto used = memory.heap.touched();
  for (std::size_t at = 0; at + bytes <= used.size(); at += heap_alignment) {
    const auto address = reinterpret_cast<std::uint64_t>(used.data() + at);
    const auto* tag = reinterpret_cast<const TypeTag*>(address);
    if (tag->type.load(std::memory_order_relaxed) != type) continue;
    found.push_back(piece(address, bytes, pointers));
  }
  return found;
}

template <Tagged T>
Pieces all_of(const Memory& memory, Words pointers = {}) {
  return tagged(memory, T::type, sizeof(T), pointers);
}

Pieces windows(const Memory& memory) {
  Pieces found;
  for (const PublishedPiece& table : all_of<WindowTable>(memory)) {
    const auto* windows = reinterpret_cast<const WindowTable*>(table.address);
    const auto used = std::min<std::size_t>(windows->slots_used.load(), windows_max);
    found.push_back(piece(table.address, offsetof(WindowTable, slots) +
                                             used * sizeof(WindowRecord)));
  }
  return found;
}

Pieces rings(const Memory& memory) {
  const auto* header = reinterpret_cast<const NodeHeader*>(header_of(memory));
  Pieces found;
  for (std::uint32_t cell = 0; cell < memory.layout.cells; ++cell) {
    if (static_cast<CellId>(cell) == memory.self) continue;
    found.push_back(piece(header_of(memory) + header->rings_offset +
                              cell * sizeof(machine::SipsRing),
                          sizeof(machine::SipsRing)));
  }
  return found;
}

Pieces consumed(const Memory& memory) {
  const auto* header = reinterpret_cast<const NodeHeader*>(header_of(memory));
  Pieces found;
  for (std::uint32_t cell = 0; cell < memory.layout.cells; ++cell) {
    if (static_cast<CellId>(cell) == memory.self) continue;
    found.push_back(piece(header_of(memory) + header->consumed_offset +
                              cell * sizeof(machine::SipsConsumed),
                          word_bytes));
  }
  return found;
}

Pieces lifelines(const Memory& memory) {
  const std::uint64_t first = header_of(memory) + offsetof(NodeHeader, lifelines);
  Pieces found;
  for (int i = 0; i < machine::lifeline_count; ++i) {
    found.push_back(piece(first + static_cast<std::uint64_t>(i) * sizeof(machine::LifelineEntry),
                          sizeof(machine::LifelineEntry),
                          {offsetof(machine::LifelineEntry, next)}));
  }
  return found;
}

Pieces tags(const Memory& memory) {
  Pieces found;
  for (const std::uint32_t type :
       {CellRoot::type, MemberBoard::type, HomeRoot::type, PfdatTable::type, CacheTableHead::type,
        SegmentRecord::type, WindowTable::type, BlockedRing::type, TaskRecord::type,
        TaggedReplies::type, TaggedLock::type}) {
    const Pieces of_type = tagged(memory, type, sizeof(TypeTag));
    found.insert(found.end(), of_type.begin(), of_type.end());
  }
  return found;
}

// Those that say something: what is free is not looked at.
Pieces pfdats(const Memory& memory) {
  Pieces found;
  for (const PublishedPiece& head : all_of<PfdatTable>(memory)) {
    const auto* table = reinterpret_cast<const PfdatTable*>(head.address);
    const std::uint32_t pages = std::min(table->pages, memory.layout.user_pages());
    for (std::uint32_t page = 0; page < pages; ++page) {
      if (table->at(page).state.load() == FrameState::free) continue;
      found.push_back(piece(reinterpret_cast<std::uint64_t>(&table->at(page)), sizeof(Pfdat)));
    }
  }
  return found;
}

Pieces cache_entries(const Memory& memory) {
  using Entry = Changing<CacheEntry>;
  Pieces found;
  for (const PublishedPiece& head : all_of<CacheTableHead>(memory)) {
    const auto* table = reinterpret_cast<const CacheTableHead*>(head.address);
    if (table->frames != memory.layout.user_pages()) continue;  // it was corrupted before
    const std::uint64_t first =
        head.address + cache_table_bytes(table->frames) - table->frames * sizeof(Entry);
    for (std::uint32_t frame = 0; frame < table->frames; ++frame) {
      const std::uint64_t address = first + frame * sizeof(Entry);
      const auto& entry = reinterpret_cast<const Entry*>(address)->unchecked();
      if (entry.file != 0) found.push_back(piece(address, sizeof(Entry)));
    }
  }
  return found;
}

Pieces cache_chains(const Memory& memory) {
  Pieces found;
  for (const PublishedPiece& head : all_of<CacheTableHead>(memory)) {
    const auto* table = reinterpret_cast<const CacheTableHead*>(head.address);
    if (table->frames != memory.layout.user_pages()) continue;
    const std::uint64_t first = head.address + sizeof(CacheTableHead);
    for (std::uint32_t i = 0; i + 1 < cache_buckets(table->frames); i += 2) {
      const auto* buckets = reinterpret_cast<const CacheBucket*>(first) + i;
      if (buckets[0].load() == no_frame && buckets[1].load() == no_frame) continue;
      found.push_back(piece(first + i * sizeof(CacheBucket), word_bytes));
    }
  }
  return found;
}

PublishedPiece of_header(const Memory& memory, std::size_t offset, std::uint64_t bytes) {
  return piece(header_of(memory) + offset, bytes);
}

std::vector<PublishedStructure> make_structures() {
  return {
      {"header", "what a node says of itself, and where its parts lie", false,
       [](const Memory& m) { return Pieces{of_header(m, 0, offsetof(NodeHeader, clock_word))}; }},
      {"clock", "its clock word, the length of its ticks, whether it is busy", false,
       [](const Memory& m) { return Pieces{of_header(m, offsetof(NodeHeader, clock_word), 24)}; }},
      {"sleepers", "words that say who sleeps and has to be woken", false,
       [](const Memory& m) {
         return Pieces{of_header(m, offsetof(NodeHeader, receiver_asleep), word_bytes),
                       of_header(m, offsetof(NodeHeader, gate_asleep), word_bytes),
                       of_header(m, offsetof(NodeHeader, reply_sleepers), word_bytes)};
       }},
      {"live-set", "the live set and epoch that it has settled, its state, its member word", false,
       [](const Memory& m) { return Pieces{of_header(m, offsetof(NodeHeader, epoch), 32)}; }},
      {"lifelines", "the words that Linux marks when it dies, and their list", true, &lifelines},
      {"root", "the root of what it publishes", true,
       [](const Memory& m) {
         return all_of<CellRoot>(
             m, {offsetof(CellRoot, home_root), offsetof(CellRoot, member_board),
                 offsetof(CellRoot, tasks) + offsetof(TaskList, first)});
       }},
      {"board", "its board: view, phase, opinions", false,
       [](const Memory& m) { return all_of<MemberBoard>(m); }},
      {"home", "the root of its home: segments, windows, counters", true,
       [](const Memory& m) {
         return all_of<HomeRoot>(m, {offsetof(HomeRoot, segments), offsetof(HomeRoot, windows),
                                     offsetof(HomeRoot, blocked), offsetof(HomeRoot, pfdats),
                                     offsetof(HomeRoot, page_cache)});
       }},
      {"frames", "the counts of its frames, by what they are used for", false,
       [](const Memory& m) { return all_of<PfdatTable>(m); }},
      {"pfdats", "what its frames hold, one by one", false, &pfdats},
      {"cache-entries", "which frames the pages of files are in", false, &cache_entries},
      {"cache-chains", "the chains of the table of its page cache", false, &cache_chains},
      {"cache", "the head of the table of its page cache", false,
       [](const Memory& m) { return all_of<CacheTableHead>(m); }},
      {"names", "the list of its segments, with their names", true,
       [](const Memory& m) {
         return all_of<SegmentRecord>(m, {offsetof(SegmentRecord, next)});
       }},
      {"windows", "the table of open windows", false, &windows},
      {"blocked", "the ring of stores that were blocked", false,
       [](const Memory& m) { return all_of<BlockedRing>(m); }},
      {"tasks", "the list of its tasks", true,
       [](const Memory& m) { return all_of<TaskRecord>(m, {offsetof(TaskRecord, next)}); }},
      {"messages", "SIPS messages on their way to other cells", false, &rings},
      {"indices", "how many SIPS messages it has taken of each cell", false, &consumed},
      {"replies", "answers to calls of tasks", false,
       [](const Memory& m) { return all_of<TaggedReplies>(m); }},
      {"locks", "the states of mutexes and conditions", false,
       [](const Memory& m) { return all_of<TaggedLock>(m); }},
      {"tags", "the type tags of all these", false, &tags},
      {"heap", "any word of its heap that was ever used", false,
       [](const Memory& m) {
         const auto used = m.heap.touched();
         return Pieces{piece(reinterpret_cast<std::uint64_t>(used.data()), used.size())};
       }},
  };
}

std::atomic<std::uint64_t>& word_at(std::uint64_t address) {
  return *reinterpret_cast<std::atomic<std::uint64_t>*>(address);
}

template <class List>
const auto& one_of(const List& list, std::mt19937_64& random) {
  return list[random() % list.size()];
}

std::uint64_t kernel_address(const Memory& memory, CellId cell, std::mt19937_64& random) {
  return memory.layout.kernel_begin(cell) +
         random() % (memory.layout.kernel_bytes / word_bytes) * word_bytes;
}

Result<Corruption> draw_pointer(const Memory& memory, const PublishedPiece& piece,
                                const std::string& how, std::mt19937_64& random) {
  Corruption drawn;
  drawn.address = one_of(piece.pointers, random);
  drawn.old_value = word_at(drawn.address).load();
  if (how == "own") {
    drawn.new_value = kernel_address(memory, memory.self, random);
  } else if (how == "other") {
    const std::uint32_t others = memory.layout.cells - 1;
    if (others == 0) return fail(Code::not_found, "there is no other cell", memory.self);
    const auto step = static_cast<CellId>(1 + random() % others);
    drawn.new_value = kernel_address(
        memory, (memory.self + step) % static_cast<CellId>(memory.layout.cells), random);
  } else if (how == "off-by-one") {
    drawn.new_value = random() % 2 == 0 ? drawn.old_value + word_bytes
                                        : drawn.old_value - word_bytes;
  } else if (how == "self") {
    drawn.new_value = piece.address;
  } else {
    return fail(Code::bad_argument, "how is word, own, other, off-by-one or self", memory.self);
  }
  return drawn;
}

}  // namespace

const std::vector<PublishedStructure>& published_structures() {
  static const std::vector<PublishedStructure> structures = make_structures();
  return structures;
}

Result<Corruption> draw_corruption(const PublishedMemory& memory, const std::string& structure,
                                   const std::string& how, std::uint64_t seed) {
  const auto& all = published_structures();
  const auto found = std::ranges::find_if(
      all, [&](const PublishedStructure& s) { return structure == s.name; });
  if (found == all.end()) return fail(Code::bad_argument, "there is no such structure");
  if (how != "word" && !found->has_pointers) {
    return fail(Code::bad_argument, "the structure has no pointers", memory.self);
  }
  const Pieces pieces = found->find(memory);
  if (pieces.empty()) {
    return fail(Code::not_found, "the cell has none of these just now", memory.self);
  }
  std::mt19937_64 random(seed);
  const PublishedPiece& piece = one_of(pieces, random);
  Corruption drawn;
  if (how == "word") {
    drawn.address = piece.address + random() % (piece.bytes / word_bytes) * word_bytes;
    drawn.old_value = word_at(drawn.address).load();
    drawn.new_value = random();
  } else {
    auto pointer = draw_pointer(memory, piece, how, random);
    if (!pointer) return fail(pointer.error());
    drawn = *pointer;
  }
  if (drawn.new_value == drawn.old_value) drawn.new_value ^= word_bytes;
  drawn.offset = drawn.address - piece.address;
  return drawn;
}

void corrupt(const Corruption& corruption) {
  word_at(corruption.address).store(corruption.new_value);
}

}  // namespace hive::cell
