#include "cli/bench_recovery.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <future>

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/bench_program.h"
#include "monitor/host.h"

namespace hive::cli {
namespace {

using monitor::refuse;

constexpr int victim = bench_cells - 1;
constexpr int busy_tasks = 8;
constexpr int witness_ms = 1200;
constexpr int busy_ms = 2500;
constexpr std::uint64_t warm_ns = 100 * ns_per_ms;  // from when witnesses have begun
constexpr std::uint64_t look_ns = 10 * ns_per_ms;
constexpr std::uint64_t whole_ns_max = 30 * ns_per_s;
constexpr double ms = 1e6;

enum class Way : std::uint8_t { kill, hang };

// The death of the victim, as its survivors went through it.
struct Passed {
  std::uint64_t at_ns = 0;    // when it was killed
  std::uint64_t back_ns = 0;  // when it was seen in the live set of all again
  std::vector<Json> losses;   // one of each survivor
};

Outcome<void> sleep_for(std::uint64_t ns) {
  const timespec slice = to_timespec(ns);
  ::nanosleep(&slice, nullptr);
  if (interrupted()) return tl::unexpected(interrupted_refusal());
  return {};
}

Outcome<Json> victim_status(const Machine& machine) {
  const auto status = ask_any(machine, {{"op", "status"}});
  if (!status) return tl::unexpected(status.error());
  for (const Json& cell : list_of(*status, "cells")) {
    if (number_of(cell, "id", -1) == victim) return cell;
  }
  return refuse(monitor::exit_failed, "the cell to be killed is not known");
}

// Through a pidfd, and only if the kernel still has the number after it was opened.
Outcome<std::uint64_t> kill_victim(const Machine& machine, const Json& known) {
  const UniqueFd handle(
      static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(number_of(known, "pid")), 0)));
  const auto again = victim_status(machine);
  if (!again) return tl::unexpected(again.error());
  const std::uint64_t at_ns = now_ns();
  if (!handle || number_of(*again, "pid") != number_of(known, "pid") ||
      ::syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0) != 0) {
    return refuse(monitor::exit_failed, "a kernel can not be killed");
  }
  return at_ns;
}

// It may answer, or not get to it.
std::uint64_t hang_victim(const Machine& machine) {
  const std::uint64_t at_ns = now_ns();
  (void)ask_cell(machine, victim,
                 {{"op", "fault"}, {"kind", "hang-cell"}, {"cell", victim}, {"how", "loop"}},
                 ask_patient_ns);
  return at_ns;
}

// What a survivor knows of the death of that incarnation; null: nothing yet, or the victim is not
// back in its live set.
Json loss_seen_by(const Machine& machine, int cell, std::int64_t incarnation) {
  const Answer answer = ask_cell(machine, cell, {{"op", "status"}}, ask_patient_ns);
  if (answer.asked != Asked::answered) return {};
  if (list_of(answer.json, "live_set").size() != bench_cells) return {};
  for (const Json& loss : list_of(answer.json, "losses")) {
    if (number_of(loss, "cell", -1) == victim &&
        number_of(loss, "incarnation") == incarnation) {
      return loss;
    }
  }
  return {};
}

// A clock that has not begun is given more time than one that stops, so the next fault waits.
Outcome<void> wait_for_clock(const Machine& machine) {
  const std::uint64_t deadline_ns = now_ns() + whole_ns_max;
  for (;;) {
    const auto known = victim_status(machine);
    if (!known) return tl::unexpected(known.error());
    if (number_of(*known, "clock") > 0) return {};
    if (now_ns() > deadline_ns) {
      return refuse(monitor::exit_failed, "a cell that is back does not begin");
    }
    if (auto slept = sleep_for(look_ns); !slept) return slept;
  }
}

Outcome<Passed> fail_victim(const BenchPlace& place, Way way) {
  const Machine& machine = place.machine.machine();
  const auto known = victim_status(machine);
  if (!known) return tl::unexpected(known.error());
  Passed passed;
  if (way == Way::kill) {
    const auto killed = kill_victim(machine, *known);
    if (!killed) return tl::unexpected(killed.error());
    passed.at_ns = *killed;
  } else {
    passed.at_ns = hang_victim(machine);
  }
  for (int cell = 0; cell < victim; ++cell) {
    Json loss;
    while ((loss = loss_seen_by(machine, cell, number_of(*known, "incarnation"))).is_null()) {
      if (now_ns() > passed.at_ns + whole_ns_max) {
        return refuse(monitor::exit_failed, "the machine does not get whole again");
      }
      if (auto slept = sleep_for(look_ns); !slept) return tl::unexpected(slept.error());
    }
    passed.losses.push_back(std::move(loss));
  }
  passed.back_ns = now_ns();
  if (auto begun = wait_for_clock(machine); !begun) return tl::unexpected(begun.error());
  return passed;
}

// Until the last survivor has come so far.
BenchFigure until(Way way, const char* moment) {
  return [way, moment](const BenchPlace& place) -> Outcome<double> {
    const auto passed = fail_victim(place, way);
    if (!passed) return tl::unexpected(passed.error());
    std::int64_t last = 0;
    for (const Json& loss : passed->losses) last = std::max(last, number_of(loss, moment));
    return static_cast<double>(last - static_cast<std::int64_t>(passed->at_ns));
  };
}

Outcome<double> until_back(const BenchPlace& place) {
  const auto passed = fail_victim(place, Way::kill);
  if (!passed) return tl::unexpected(passed.error());
  return static_cast<double>(passed->back_ns - passed->at_ns);
}

// --- what witnesses see

using Running = std::future<Outcome<ProgramRun>>;

Running start_task(const BenchPlace& place, const char* what, int cell, int for_ms) {
  return std::async(std::launch::async, [&place, what, cell, for_ms] {
    return place.machine.run({"--cell", std::to_string(cell)},
                             {monitor::helper_program("hive-bench-task"), what, "0",
                              std::to_string(for_ms)});
  });
}

struct Witnessed {
  double gap_ns = 0;
  double first_ns = 0;
  double last_ns = 0;
};

Outcome<Witnessed> report_of(Running& running) {
  const auto run = running.get();
  if (!run) return tl::unexpected(run.error());
  Witnessed seen;
  if (std::sscanf(run->output.c_str(), "%lf %lf %lf", &seen.gap_ns, &seen.first_ns,
                  &seen.last_ns) != 3) {
    return refuse(monitor::exit_failed, "a witness printed no report");
  }
  return seen;
}

// Each witness makes a segment on every cell; from then on it watches. Ends early when one of them
// does, which is for who asks for its report to see.
Outcome<void> wait_for_witnesses(const Machine& machine, const std::vector<Running>& witnesses) {
  for (;;) {
    const auto status = ask_any(machine, {{"op", "status"}});
    if (!status) return tl::unexpected(status.error());
    std::size_t segments = 0;
    for (const Json& cell : list_of(*status, "cells")) {
      segments += static_cast<std::size_t>(
          number_of(cell.value("memory", Json::object()), "segments"));
    }
    if (segments >= witnesses.size() * bench_cells) return sleep_for(warm_ns);
    for (const Running& witness : witnesses) {
      if (witness.wait_for(std::chrono::seconds(0)) == std::future_status::ready) return {};
    }
    if (auto slept = sleep_for(look_ns); !slept) return slept;
  }
}

// The longest gap that any survivor has seen, with the victim failing under them or not.
Outcome<double> longest_gap(const BenchPlace& place, std::optional<Way> way, bool loaded) {
  std::vector<Running> load;
  for (int i = 0; loaded && i < busy_tasks; ++i) {
    load.push_back(start_task(place, "spin", i % victim, busy_ms));
  }
  std::vector<Running> witnesses;
  for (int cell = 0; cell < victim; ++cell) {
    witnesses.push_back(start_task(place, "witness", cell, witness_ms));
  }
  if (auto begun = wait_for_witnesses(place.machine.machine(), witnesses); !begun) {
    return tl::unexpected(begun.error());
  }
  double at_ns = static_cast<double>(now_ns());
  Outcome<Passed> passed;
  if (way) {
    passed = fail_victim(place, *way);
    if (passed) at_ns = static_cast<double>(passed->at_ns);
  }
  double longest = 0;
  for (Running& witness : witnesses) {
    const auto seen = report_of(witness);
    if (!seen) return tl::unexpected(seen.error());
    if (seen->first_ns == 0 || seen->first_ns > at_ns || seen->last_ns < at_ns) {
      return refuse(monitor::exit_failed, "a witness came too late: the host is too busy");
    }
    longest = std::max(longest, seen->gap_ns);
  }
  if (!passed) return tl::unexpected(passed.error());
  return longest;
}

BenchFigure gap(std::optional<Way> way, bool loaded) {
  return [way, loaded](const BenchPlace& place) { return longest_gap(place, way, loaded); };
}

// A bare process of the size of a node.
BenchFigure bare_death() {
  return [](const BenchPlace&) {
    return run_for_number({monitor::helper_program("hive-baseline"), "death", "--count", "3",
                           "--size", "64"});
  };
}

}  // namespace

void add_recovery(std::vector<BenchRow>& rows) {
  constexpr const char* bare = "kill of a process of 64 MiB, its pidfd";
  constexpr const char* quiet = "the same witnesses, nobody fails";
  for (const auto& [name, moment] : {std::pair{"known_off", "known_off_ns"},
                                     {"agreed", "passed_ns"},
                                     {"settled", "done_ns"}}) {
    rows.push_back({fmt::format("recovery.kill.{}", name), bare, until(Way::kill, moment),
                    bare_death()});
  }
  rows.push_back({"recovery.kill.back", "", until_back, nullptr});
  rows.push_back({"recovery.kill.witness", quiet, gap(Way::kill, false), gap({}, false),
                  value_at_most(5 * ms, "5 ms")});
  rows.push_back({"recovery.kill.witness.loaded", quiet, gap(Way::kill, true), gap({}, true),
                  value_at_most(10 * ms, "10 ms")});
  rows.push_back({"recovery.hang.known_off", "", until(Way::hang, "known_off_ns"), nullptr});
  rows.push_back({"recovery.hang.settled", "", until(Way::hang, "done_ns"), nullptr});
  rows.push_back({"recovery.hang.witness", quiet, gap(Way::hang, false), gap({}, false),
                  value_at_most(60 * ms, "60 ms")});
}

}  // namespace hive::cli
