// Whether an accused cell gets on. Slow is not dead: one whose tick thread waits for a processor
// is innocent, however much its other threads run; one hangs that is stopped, whose tick thread
// had a processor for a tick's length and made none, or whose tick thread sleeps while nobody in
// the cell waits for a first turn of his own. docs/agreement.md.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "base/ids.h"
#include "base/time.h"
#include "machine/layout.h"

namespace hive::cell {

// What Linux says about the threads of a process.
struct ThreadTimes {
  struct Thread {
    std::uint64_t run_ns = 0;
    bool would_run = false;  // it has a processor, waits for one, or for Linux: memory, a lock
    bool is_tick = false;  // by its name: the one that advances the clock word
    int processor = -1;  // where it ran last, and where its timers are
  };
  bool is_readable = false;
  bool is_stopped = false;  // by a signal or a debugger
  std::map<int, Thread> threads;
};
ThreadTimes read_thread_times(int pid);

// The calling thread is the one that makes the ticks.
inline constexpr const char* tick_thread_name = "hive-ticks";
void become_tick_thread();

// Lets the calling thread run once on each processor where one of these threads ran last, and then
// wherever it could run before. Those where it may not run are left out.
void visit_processors(const ThreadTimes& times);

inline constexpr std::uint64_t probe_look_ns = 5'000'000;

class Probe {
 public:
  enum class Verdict : std::uint8_t { open, innocent, guilty };

  // `stood_ns`: for how long its clock has been seen to stand already.
  // `by_clock_alone`: a defence that a test turns off; whether its threads get a processor is not
  // looked at.
  Probe(const machine::Layout& layout, CellId cell, int pid, std::uint64_t stood_ns,
        bool by_clock_alone = false);

  // Looks again; to be called every probe_look_ns at least. More often it only sees whether the
  // clock goes on.
  Verdict look();

  // For a cell whose clock goes on, but that does not get on with a recovery: whether one of its
  // threads waits for a processor. It may be the one that does the recovery, or hold a lock that
  // this one needs. Nothing is known until two looks are probe_look_ns apart.
  std::optional<bool> is_starved();

 private:
  Verdict judge_threads();

  const machine::Layout layout_;
  const CellId cell_;
  const int pid_;
  const bool by_clock_alone_;
  std::uint64_t clock_ = 0;
  std::uint64_t stood_ns_;
  std::uint64_t last_look_ns_ = now_ns();  // at the threads
  int looks_ = 0;
  int guilty_looks_ = 0;  // in a row
  std::map<int, std::uint64_t> ran_ns_;  // by thread, since the tick thread waited last
  ThreadTimes before_;
};

}  // namespace hive::cell
