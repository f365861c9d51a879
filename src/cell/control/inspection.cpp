#include "cell/control/inspection.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "cell/control/cell_roots.h"
#include "cell/files/cache_table.h"
#include "cell/frames/pfdat.h"
#include "cell/task/task_table.h"
#include "machine/node_header.h"

namespace hive::cell {
namespace {

using machine::NodeHeader;

constexpr int walks_max = 3;  // through a list that leads nowhere

constexpr char bad_header[] = "the header of the node is not what it was made";
constexpr char bad_root[] = "the root of the cell is not its own";
constexpr char bad_task[] = "a task in the cell's list makes no sense";
constexpr char bad_home[] = "the counts of the cell's home make no sense";
constexpr char bad_frames[] = "the counts of the cell's frames make no sense";
constexpr char bad_cache[] = "the table of the cell's page cache makes no sense";
constexpr char bad_segment[] = "a segment in the cell's list makes no sense";
constexpr char bad_window[] = "a window in the cell's table makes no sense";

bool is_text(const auto& name) { return std::ranges::find(name, '\0') != name.end(); }

// The part that never changes, and is the same on all nodes but for what names the node.
bool is_header_of(const NodeHeader& header, const NodeHeader& own, CellId cell,
                  std::uint64_t incarnation) {
  const std::uint32_t state = header.state.load();
  return header.magic == machine::node_magic && header.layout_version == own.layout_version &&
         header.node == static_cast<std::uint32_t>(cell) &&
         header.header_bytes == own.header_bytes && header.incarnation == incarnation &&
         header.rings_offset == own.rings_offset &&
         header.consumed_offset == own.consumed_offset && header.heap_offset == own.heap_offset &&
         state <= static_cast<std::uint32_t>(CellState::ending);
}

}  // namespace

Result<void> Inspection::inspect(CellId cell, std::uint64_t incarnation) {
  const CarefulReader reader(layout_, cell, &counters_[static_cast<std::size_t>(cell)], sabotage_);
  const auto roots = read_roots(reader, layout_);
  if (!roots) return fail(roots.error());
  const NodeHeader& header = *roots->header;
  if (!is_header_of(header, *machine::node_header(layout_, self_), cell, incarnation)) {
    return reader.reject(bad_header);
  }
  if (roots->cell->cell != cell) return reader.reject(bad_root);
  const std::uint64_t tasks = layout_.kernel_begin(cell) + header.root_offset +
                              offsetof(CellRoot, tasks) + offsetof(TaskList, first);
  if (auto done = inspect_tasks(reader, tasks); !done) return done;

  const HomeRoot& home = *roots->home;
  if (home.pages_torn.load() > layout_.user_pages() || home.segment_count.load() > segments_max) {
    return reader.reject(bad_home);
  }
  if (auto done = inspect_frames(reader, home.pfdats); !done) return done;
  if (auto done = inspect_cache(reader, home.page_cache); !done) return done;
  if (auto done = inspect_segments(reader, roots->cell->home_root); !done) return done;
  if (auto done = inspect_windows(reader, home.windows); !done) return done;
  if (const auto ring = reader.read<BlockedRing>(home.blocked); !ring) {
    return fail(ring.error());
  }
  return {};
}

// The head of the pfdats; the frames themselves are for who uses them to check.
Result<void> Inspection::inspect_frames(const CarefulReader& reader, std::uint64_t pfdats) const {
  const auto table = reader.read<PfdatTable>(pfdats);
  if (!table) return fail(table.error());
  if ((*table)->pages != layout_.user_pages()) return reader.reject(bad_frames);
  for (const auto& count : (*table)->counts) {
    if (count.load() > layout_.user_pages()) return reader.reject(bad_frames);
  }
  return {};
}

// The head of the table; its entries are hints, and checked by who uses them.
Result<void> Inspection::inspect_cache(const CarefulReader& reader, std::uint64_t table) const {
  const auto head = reader.read<CacheTableHead>(table);
  if (!head) return fail(head.error());
  const std::uint32_t node_frames = layout_.user_pages();
  const std::uint32_t frames = node_frames + borrowed_frames_max(node_frames);
  if ((*head)->frames != frames || (*head)->buckets != cache_buckets(frames) ||
      (*head)->pages.load() > frames || (*head)->dirty.load() > frames) {
    return reader.reject(bad_cache);
  }
  return {};
}

// A task that ends under the walk leads it astray; who begins anew at the head is not led there
// again.
Result<void> Inspection::inspect_tasks(const CarefulReader& reader, std::uint64_t head) const {
  const CarefulReader uncounted(layout_, reader.cell(), nullptr, sabotage_);
  const char* wrong = nullptr;
  for (int tries = 0; tries < walks_max; ++tries) {
    bool good = true;
    const auto walked = uncounted.walk_list_at<TaskRecord>(
        head, &TaskRecord::next, tasks_max, [&](const TaskRecord& task, std::uint64_t) {
          good = task.info.cell == reader.cell() && task.info.state >= TaskState::starting &&
                 task.info.state <= TaskState::ending && is_text(task.info.program);
          return good;
        });
    if (walked && good) return {};
    if (!walked && walked.error().code != Code::corrupt) return fail(walked.error());
    wrong = walked ? bad_task : walked.error().cause;
  }
  return reader.reject(wrong);
}

// What was removed under the walk may have led it astray: only a list that stayed says anything.
Result<void> Inspection::inspect_segments(const CarefulReader& reader,
                                          std::uint64_t home_root) const {
  const std::uint64_t changes_at = home_root + offsetof(HomeRoot, segment_changes);
  const auto before = reader.read_raw<std::uint64_t>(changes_at);
  if (!before) return fail(before.error());
  bool good = true;
  // Not counted as failed checks before it is certain that they are.
  const CarefulReader uncounted(layout_, reader.cell(), nullptr, sabotage_);
  const auto walked = uncounted.walk_list_at<SegmentRecord>(
      home_root + offsetof(HomeRoot, segments), &SegmentRecord::next, segments_max,
      [&](const SegmentRecord& segment, std::uint64_t) {
        good = segment.home == reader.cell() && is_text(segment.name) && segment.pages > 0 &&
               are_pages(segment.first_page, segment.pages);
        return good;
      });
  if (walked && good) return {};
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const auto after = reader.read_raw<std::uint64_t>(changes_at);
  if (!after) return fail(after.error());
  if (*before % 2 != 0 || *before != *after) {
    return fail(Code::busy, "the segments of the cell are changing", reader.cell());
  }
  return walked ? reader.reject(bad_segment) : reader.reject(walked.error().cause);
}

bool Inspection::is_window(const WindowRecord& seen) const {
  return seen.task == 0 ||
         (seen.cell >= 0 && seen.cell < static_cast<CellId>(layout_.cells) &&
          are_pages(seen.first_page, seen.pages) && seen.mode <= 1);
}

Result<void> Inspection::inspect_windows(const CarefulReader& reader, std::uint64_t table) const {
  const auto windows = reader.read<WindowTable>(table);
  if (!windows) return fail(windows.error());
  const std::uint64_t used = (*windows)->slots_used.load();
  if (used > windows_max) return reader.reject(bad_window);
  for (std::uint64_t i = 0; i < used; ++i) {
    if (is_window((*windows)->slots[i])) continue;
    // It may have changed while it was copied: two equal copies say that it stays so.
    const std::uint64_t at = table + offsetof(WindowTable, slots) + i * sizeof(WindowRecord);
    CarefulCopy<WindowRecord> once;
    CarefulCopy<WindowRecord> twice;
    for (CarefulCopy<WindowRecord>* copy : {&once, &twice}) {
      auto done = reader.read_bytes_to(at, copy->bytes(), sizeof(WindowRecord));
      if (!done) return done;
      std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    const bool stays = std::memcmp(once.bytes(), twice.bytes(), sizeof(WindowRecord)) == 0 &&
                       once->version.load() % 2 == 0;
    if (stays && !is_window(*once)) return reader.reject(bad_window);
  }
  return {};
}

}  // namespace hive::cell
