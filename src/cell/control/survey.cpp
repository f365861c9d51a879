#include "cell/control/survey.h"

#include <cstddef>
#include <cstring>
#include <fstream>

#include "base/time.h"
#include "cell/boot/panic_record.h"
#include "cell/control/cell_list.h"
#include "cell/frames/pfdat.h"
#include "machine/node_header.h"
#include "proto/runtime_dir.h"

namespace hive::cell {
namespace {

using Json = nlohmann::json;

constexpr double bytes_per_page = machine::page_bytes;

template <std::size_t N>
std::string text_of(const std::array<char, N>& name) {
  return {name.data(), ::strnlen(name.data(), N)};
}

const char* task_state_name(TaskState state) {
  switch (state) {
    case TaskState::starting: return "starting";
    case TaskState::running: return "running";
    case TaskState::ending: return "ending";
  }
  return "unknown";
}

Json task_json(const TaskInfo& task, std::uint64_t now) {
  const double age_s =
      now > task.started_ns ? static_cast<double>(now - task.started_ns) / ns_per_s : 0;
  return {{"id", task.id},
          {"cell", task.cell},
          {"pid", task.pid},
          {"state", task_state_name(task.state)},
          {"program", text_of(task.program)},
          {"attached", task.attached != 0},
          {"age_s", age_s},
          {"span", text_of(task.span_id)},
          {"span_index", task.span_index},
          {"span_count", task.span_count}};
}

double recovery_ms(const Membership::Loss& loss) {
  return static_cast<double>(loss.done_ns - loss.noticed_ns) / ns_per_ms;
}

}  // namespace

Survey::Survey(const Config& config, Membership& membership)
    : config_(config), membership_(membership) {
  for (CarefulCounters& counted : counters_) {
    counted.context = &membership;
    counted.hook = [](void* context, const Error& what) {
      const Hint hint = what.code == Code::cell_down ? Hint::bus_error : Hint::corrupt;
      static_cast<Membership*>(context)->hint(what.cell, hint);
    };
  }
}

void Survey::note_peer(CellId cell, std::uint64_t incarnation, std::int32_t pid) {
  pids_[static_cast<std::size_t>(cell)] = pid;
  incarnations_[static_cast<std::size_t>(cell)] = incarnation;
  CarefulCounters& counted = counters(cell);
  for (auto* count : {&counted.corrupt, &counted.bad_address, &counted.bad_tag}) count->store(0);
}

CarefulReader Survey::reader_of(CellId cell) {
  return {config_.layout, cell, &counters(cell), config_.sabotage};
}

Result<CellRoots> Survey::roots_of(CellId cell) {
  return read_roots(reader_of(cell), config_.layout);
}

// What the monitor does with a node that is not in the live set.
void Survey::add_node_record(CellId cell, Json& json) const {
  std::ifstream file(proto::node_record_file(config_.machine_dir, cell));
  const Json record = Json::parse(file, nullptr, false);
  if (!record.is_object()) return;
  const std::string state = record.value("state", "");
  if (state == "rebooting" || state == "out") json["state"] = state;
  if (const std::string reason = record.value("reason", ""); !reason.empty()) {
    json["reason"] = reason;
  }
}

Json Survey::dead_cell(CellId cell) {
  const auto index = static_cast<std::size_t>(cell);
  Json json = {{"id", cell},
               {"state", "down"},
               {"pid", pids_[index]},
               {"incarnation", incarnations_[index]},
               {"epoch", membership_.epoch()},
               {"live_set", Json::array()}};
  add_node_record(cell, json);
  for (const Membership::Loss& loss : membership_.losses()) {
    if (loss.cell != cell) continue;
    json["cause"] = loss.cause;
    json["recovery_ms"] = recovery_ms(loss);
  }
  const std::string last_words = read_panic_record(config_.panic_path(cell));
  if (!last_words.empty()) json["last_words"] = last_words;
  return json;
}

Json Survey::cell_status(CellId cell, CellSet live) {
  if (!live.has(cell)) return dead_cell(cell);
  const auto index = static_cast<std::size_t>(cell);
  const CarefulReader reader = reader_of(cell);
  auto roots = roots_of(cell);
  if (roots && roots->header->incarnation != incarnations_[index]) {
    roots = reader.reject("the header of the node names another incarnation");
  }
  const auto frames =
      roots ? reader.read<PfdatTable>(roots->home->pfdats) : fail(roots.error());
  if (!frames) {
    return {{"id", cell},
            {"state", "up"},
            {"pid", pids_[index]},
            {"incarnation", incarnations_[index]},
            {"epoch", 0},
            {"live_set", Json::array()},
            {"problem", frames.error().message()}};
  }
  const machine::NodeHeader& header = *roots->header;
  const HomeRoot& home = *roots->home;
  const auto mib = [](std::uint64_t pages) {
    return static_cast<double>(pages) * bytes_per_page / (1 << 20);
  };
  const auto& in_segments = (*frames)->counts[static_cast<std::size_t>(FrameState::segment)];
  const bool draining = header.state.load() >= static_cast<std::uint32_t>(CellState::draining);
  return {{"id", cell},
          {"state", draining ? "draining" : "up"},
          {"pid", roots->cell->pid},
          {"incarnation", incarnations_[index]},
          {"epoch", header.epoch.load()},
          {"live_set", list_of(CellSet(header.live_set.load()))},
          {"clock", header.clock_word.load()},
          {"tasks", roots->cell->tasks.count.load()},
          {"memory",
           {{"total_mib", mib((*frames)->pages)},
            {"segments_mib", mib(in_segments.load())},
            {"segments", home.segment_count.load()},
            {"torn_pages", home.pages_torn.load()},
            {"open_to_own_tasks_pages", home.pages_open_own.load()},
            {"open_to_other_cells_pages", home.pages_open_others.load()}}}};
}

// What each task could destroy right now: the windows that it has open on this home.
void Survey::add_windows(const CarefulReader& reader, const CellRoots& roots, Json& exposure) {
  auto table = reader.read<WindowTable>(roots.home->windows);
  if (!table) return;
  const std::uint64_t now = now_ns();
  for (const WindowRecord& window : (*table)->slots) {
    if (window.task == 0 || (window.version.load() & 1) != 0) continue;
    const double open_ms =
        now > window.opened_at_ns ? static_cast<double>(now - window.opened_at_ns) / ns_per_ms : 0;
    exposure.push_back({{"home", reader.cell()}, {"task", window.task}, {"cell", window.cell},
                        {"segment", window.segment}, {"first_page", window.first_page},
                        {"pages", window.pages}, {"shared", window.mode != 0},
                        {"open_ms", open_ms}});
  }
}

void Survey::add_blocked(const CarefulReader& reader, const CellRoots& roots, Json& blocked) {
  auto ring = reader.read<BlockedRing>(roots.home->blocked);
  if (!ring) return;
  const std::uint64_t now = now_ns();
  for (const BlockedStore& store : (*ring)->lines) {
    if (store.number.load() == 0) continue;
    const double ago_s =
        now > store.time_ns ? static_cast<double>(now - store.time_ns) / ns_per_s : 0;
    blocked.push_back({{"number", store.number.load()}, {"home", reader.cell()},
                       {"cell", store.cell}, {"task", store.task},
                       {"program", text_of(store.program)}, {"instruction", store.instruction},
                       {"address", store.address}, {"page", store.page},
                       {"segment", store.segment}, {"ago_s", ago_s}});
  }
}

Json Survey::status() {
  const CellSet live = membership_.live();
  Json losses = Json::array();
  for (const Membership::Loss& loss : membership_.losses()) {
    losses.push_back({{"cell", loss.cell},
                      {"incarnation", loss.incarnation},
                      {"epoch", loss.epoch},
                      {"cause", loss.cause},
                      {"recovery_ms", recovery_ms(loss)},
                      {"noticed_ns", loss.noticed_ns},
                      {"known_off_ns", loss.known_off_ns},
                      {"closed_ns", loss.closed_ns},
                      {"passed_ns", loss.passed_ns},
                      {"discarded_ns", loss.discarded_ns},
                      {"done_ns", loss.done_ns}});
  }
  Json cells = Json::array();
  Json exposure = Json::array();
  Json blocked = Json::array();
  Json checks = Json::array();
  for (CellId cell = 0; cell < static_cast<CellId>(config_.layout.cells); ++cell) {
    cells.push_back(cell_status(cell, live));
    if (!live.has(cell)) continue;
    if (auto roots = roots_of(cell)) {
      const CarefulReader reader = reader_of(cell);
      add_windows(reader, *roots, exposure);
      add_blocked(reader, *roots, blocked);
    }
    const CarefulCounters& counted = counters(cell);
    cells.back()["failed_checks"] = counted.corrupt.load();
  }
  return {{"ok", true},
          {"machine", config_.machine},
          {"firewall", machine::firewall_mode_name(config_.firewall)},
          {"seen_by", config_.self},
          {"epoch", membership_.epoch()},
          {"live_set", list_of(live)},
          {"sabotage", config_.sabotage.names()},
          {"cells", cells},
          {"losses", losses},
          {"exposure", exposure},
          {"blocked_stores", blocked}};
}

// Errors: busy (the list changes under the walk), and those of CarefulReader.
Result<void> Survey::add_tasks(CellId cell, Json& tasks) {
  const CarefulReader reader = reader_of(cell);
  const std::uint64_t now = now_ns();
  auto roots = roots_of(cell);
  if (!roots) return fail(roots.error());
  Json found = Json::array();
  const auto walked = reader.walk_list<TaskRecord>(
      roots->cell->tasks.first.load(), &TaskRecord::next, tasks_max,
      [&](const TaskRecord& record, std::uint64_t) {
        found.push_back(task_json(record.info, now));
        return true;
      });
  if (!walked && walked.error().code == Code::busy) return fail(walked.error());
  for (Json& task : found) tasks.push_back(std::move(task));
  if (!walked) return fail(walked.error());
  return {};
}

Json Survey::tasks() {
  const CellSet live = membership_.live();
  Json tasks = Json::array();
  Json unread = Json::array();
  for (CellId cell = 0; cell < static_cast<CellId>(config_.layout.cells); ++cell) {
    if (!live.has(cell)) continue;
    constexpr int tries_max = 8;
    Result<void> added = add_tasks(cell, tasks);
    for (int tries = 1; !added && added.error().code == Code::busy && tries < tries_max; ++tries) {
      added = add_tasks(cell, tasks);
    }
    if (!added) unread.push_back(cell);
  }
  return {{"ok", true}, {"machine", config_.machine}, {"tasks", tasks}, {"unread_cells", unread}};
}

Json Survey::left_by(CellId cell) {
  Json tasks = Json::array();
  Json segments = Json::array();
  (void)add_tasks(cell, tasks);  // it died in the middle of something: what can be read is shown
  if (auto roots = roots_of(cell)) {
    (void)reader_of(cell).walk_list_at<SegmentRecord>(
        roots->cell->home_root + offsetof(HomeRoot, segments), &SegmentRecord::next, segments_max,
        [&](const SegmentRecord& record, std::uint64_t) {
          if (record.state.load() == SegmentState::live) {
            segments.push_back({{"name", text_of(record.name)}, {"pages", record.pages}});
          }
          return true;
        });
  }
  return {{"tasks", tasks}, {"segments", segments}};
}

Result<FoundSegment> Survey::find_segment(CellId cell, std::string_view name) {
  auto roots = roots_of(cell);
  if (!roots) return fail(roots.error());
  const CarefulReader reader = reader_of(cell);
  FoundSegment found;
  const std::uint64_t changes = roots->home->segment_changes.load();
  std::atomic_thread_fence(std::memory_order_seq_cst);
  auto walked = reader.walk_list_at<SegmentRecord>(
      roots->cell->home_root + offsetof(HomeRoot, segments), &SegmentRecord::next, segments_max,
      [&](const SegmentRecord& record, std::uint64_t) {
        const bool is_it =
            record.state.load() == SegmentState::live && text_of(record.name) == name;
        if (is_it) found = {cell, record.id};
        return !is_it;
      });
  if (found.home >= 0) return found;
  // What was removed under the walk may have led it astray, to an end or into something else.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  roots = roots_of(cell);
  if (!roots) return fail(roots.error());
  if (changes % 2 != 0 || roots->home->segment_changes.load() != changes) {
    return fail(Code::busy, "the segments of the cell are changing", cell);
  }
  if (!walked) return fail(walked.error());
  return fail(Code::not_found, "there is no segment of this name", cell);
}

}  // namespace hive::cell
