#include "cell/member/probe.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

#include <dirent.h>
#include <sched.h>
#include <sys/prctl.h>

#include "base/safe_copy.h"
#include "base/time.h"
#include "cell/member/clock_watch.h"
#include "machine/node_header.h"

namespace hive::cell {
namespace {

constexpr int looks_max = 400;                            // about two seconds
constexpr int guilty_looks_min = 2;  // a timer may just be a little late
constexpr std::uint64_t ran_enough_ns = busy_tick_ns;     // to have made a tick

bool read_text(const std::string& path, char* out, std::size_t bytes) {
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return false;
  const std::size_t n = std::fread(out, 1, bytes - 1, file);
  std::fclose(file);
  out[n] = '\0';
  return n > 0;
}

// The 39th field of a thread's stat; `text` begins with the third.
int processor_in(const char* text) {
  constexpr int fields_before = 36;
  for (int field = 0; field < fields_before && text != nullptr; ++field) {
    text = std::strchr(text + 1, ' ');
  }
  return text != nullptr ? std::atoi(text) : -1;
}

// The one that makes the ticks, of a process that is not stopped.
bool tick_sleeps(const ThreadTimes& times) {
  return !times.is_stopped && std::ranges::none_of(times.threads, [](const auto& entry) {
    return entry.second.is_tick && entry.second.would_run;
  });
}

// It wants a processor, and had one for less than half of the time between two looks.
bool waits_for_processor(const ThreadTimes::Thread& thread, std::uint64_t ran_ns) {
  return thread.would_run && ran_ns < probe_look_ns / 2;
}

// By thread, what it ran between two looks.
std::uint64_t ran_since(const ThreadTimes& before, int id, const ThreadTimes::Thread& now) {
  const auto then = before.threads.find(id);
  const std::uint64_t run_before = then == before.threads.end() ? 0 : then->second.run_ns;
  return now.run_ns - std::min(now.run_ns, run_before);
}

}  // namespace

ThreadTimes read_thread_times(int pid) {
  ThreadTimes times;
  const std::string task = "/proc/" + std::to_string(pid) + "/task";
  DIR* directory = pid > 0 ? ::opendir(task.c_str()) : nullptr;
  if (directory == nullptr) return times;
  while (const dirent* entry = ::readdir(directory)) {
    const int id = std::atoi(entry->d_name);
    if (id <= 0) continue;
    char text[512];
    const std::string thread = task + "/" + entry->d_name;
    if (!read_text(thread + "/schedstat", text, sizeof text)) continue;
    ThreadTimes::Thread seen;
    seen.run_ns = std::strtoull(text, nullptr, 10);
    if (!read_text(thread + "/stat", text, sizeof text)) continue;
    // The state follows the name, which may hold anything.
    const char* name_end = std::strrchr(text, ')');
    const char* name = std::strchr(text, '(');
    if (name != nullptr && name_end > name) {
      seen.is_tick = std::string(name + 1, name_end) == tick_thread_name;
    }
    const char state = name_end != nullptr && name_end[1] == ' ' ? name_end[2] : '?';
    seen.would_run = state == 'R' || state == 'D';
    if (name_end != nullptr) seen.processor = processor_in(name_end + 1);
    times.is_stopped |= state == 'T' || state == 't';
    times.threads.emplace(id, seen);
  }
  ::closedir(directory);
  times.is_readable = !times.threads.empty();
  return times;
}

void become_tick_thread() { ::prctl(PR_SET_NAME, tick_thread_name); }

void visit_processors(const ThreadTimes& times) {
  cpu_set_t own;
  if (::sched_getaffinity(0, sizeof own, &own) != 0) return;
  std::set<int> processors;
  for (const auto& [id, thread] : times.threads) processors.insert(thread.processor);
  for (const int processor : processors) {
    if (processor < 0 || processor >= CPU_SETSIZE) continue;
    cpu_set_t there;
    CPU_ZERO(&there);
    CPU_SET(static_cast<unsigned>(processor), &there);
    (void)::sched_setaffinity(0, sizeof there, &there);  // returns when we are there
  }
  (void)::sched_setaffinity(0, sizeof own, &own);
}

Probe::Probe(const machine::Layout& layout, CellId cell, int pid, std::uint64_t stood_ns,
             bool by_clock_alone)
    : layout_(layout),
      cell_(cell),
      pid_(pid),
      by_clock_alone_(by_clock_alone),
      stood_ns_(stood_ns),
      before_(read_thread_times(pid)) {
  (void)safe_load64(&machine::node_header(layout, cell)->clock_word, clock_);
}

Probe::Verdict Probe::look() {
  const machine::NodeHeader* header = machine::node_header(layout_, cell_);
  std::uint64_t clock = 0;
  std::uint64_t tick = 0;
  if (!safe_load64(&header->clock_word, clock) || !safe_load64(&header->tick_ns, tick)) {
    return Verdict::guilty;  // its memory is gone
  }
  if (clock != clock_) return Verdict::innocent;
  // The detector comes by whenever a board changes, which says nothing about time. What counts is
  // looks that are apart, and not the time between them: we may have stood still ourselves.
  const std::uint64_t now_time = now_ns();
  if (now_time < last_look_ns_ + probe_look_ns) return Verdict::open;
  last_look_ns_ = now_time;
  stood_ns_ += probe_look_ns;
  ++looks_;
  Verdict verdict = by_clock_alone_ ? Verdict::guilty : judge_threads();
  if (!by_clock_alone_ && verdict == Verdict::guilty && tick_sleeps(before_)) {
    // A processor may have stood still, with the timers of all who sleep on it: a host takes the
    // processors of a virtual machine away one by one. Once we have run there it goes again, and
    // what was due there has come. Whatever else of the cell runs on another processor.
    visit_processors(before_);
    std::uint64_t now = clock;
    if (!safe_load64(&header->clock_word, now)) return Verdict::guilty;
    if (now != clock_) return Verdict::innocent;
    verdict = judge_threads();
  }
  guilty_looks_ = verdict == Verdict::guilty ? guilty_looks_ + 1 : 0;
  if (verdict == Verdict::guilty && guilty_looks_ < guilty_looks_min) return Verdict::open;
  if (stood_ns_ <= 2 * std::clamp(tick, busy_tick_ns, idle_tick_ns)) return Verdict::open;
  if (verdict == Verdict::open && looks_ > looks_max) return Verdict::innocent;
  return verdict;
}

std::optional<bool> Probe::is_starved() {
  const std::uint64_t now_time = now_ns();
  if (now_time < last_look_ns_ + probe_look_ns) return std::nullopt;
  last_look_ns_ = now_time;
  const ThreadTimes now = read_thread_times(pid_);
  const bool starved = !now.is_stopped && std::ranges::any_of(now.threads, [&](const auto& entry) {
    const auto& [id, thread] = entry;
    return waits_for_processor(thread, ran_since(before_, id, thread));
  });
  before_ = now;
  return starved;
}

Probe::Verdict Probe::judge_threads() {
  const ThreadTimes now = read_thread_times(pid_);
  if (!now.is_readable) return Verdict::guilty;  // no process, no tick
  bool one_waits = false;  // and has not had its turn yet
  bool tick_waits = false;
  bool tick_ran_enough = false;
  for (const auto& [id, thread] : now.threads) {
    const std::uint64_t ran = ran_since(before_, id, thread);
    const bool ran_enough = (ran_ns_[id] += ran) >= ran_enough_ns;
    const bool waits = waits_for_processor(thread, ran);
    one_waits |= waits && !ran_enough;
    tick_waits |= thread.is_tick && waits;
    tick_ran_enough |= thread.is_tick && ran_enough;
  }
  before_ = now;
  if (now.is_stopped || tick_ran_enough) return Verdict::guilty;
  if (tick_waits) {
    // What the others ran says nothing: it had no turn of its own.
    std::erase_if(ran_ns_, [&](const auto& ran) {
      const auto thread = now.threads.find(ran.first);
      return thread == now.threads.end() || !thread->second.is_tick;
    });
    return Verdict::open;
  }
  // It sleeps: for a lock, perhaps, whose holder has no processor; but who had one for a tick's
  // length and goes on is in a loop.
  return one_waits ? Verdict::open : Verdict::guilty;
}

}  // namespace hive::cell
