#include "cli/bench_tasks.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/bench_program.h"
#include "cli/run_components.h"
#include "monitor/host.h"

namespace hive::cli {
namespace {

using Words = std::vector<std::string>;

constexpr std::uint64_t task_end_ns = 10 * ns_per_s;

// In the machine's own directory, which goes with it.
Words picture(const char* program, const BenchPlace& place) {
  return {monitor::helper_program(program), "--quiet", "--size",   "480x270",
          "--samples",        "32",      "--output", place.machine.machine().dir + "/bench.png"};
}

Outcome<double> wall_time(const Outcome<ProgramRun>& run) {
  if (!run) return tl::unexpected(run.error());
  return static_cast<double>(run->wall_ns);
}

Outcome<double> start_and_end(const Machine& machine, const Program& program, int cell) {
  const std::uint64_t begin = now_ns();
  const auto component = start_component(machine, program, cell, 0, 1);
  if (!component) return tl::unexpected(component.error().refusal);
  const Incoming end = receive_json(component->socket.get(), now_ns() + task_end_ns);
  if (text_of(end.json, "event") != "ended" || number_of(end.json, "status", -1) != 0) {
    return monitor::refuse(monitor::exit_failed, "a task did not end as it should");
  }
  return static_cast<double>(now_ns() - begin);
}

}  // namespace

BenchFigure task_figure(const char* what, int home, int count) {
  const Words words = {monitor::helper_program("hive-bench-task"), what, std::to_string(home),
                       std::to_string(count)};
  return [words](const BenchPlace& place) { return place.machine.run_task(0, words); };
}

BenchFigure oneway_figure(bool asleep, int count) {
  return [asleep, count](const BenchPlace& place) -> Outcome<double> {
    const Words words = {monitor::helper_program("hive-bench-task"),
                         asleep ? "oneway-asleep" : "oneway",
                         "0",
                         std::to_string(count),
                         std::to_string(place.own_processor),
                         std::to_string(place.other_processor)};
    const auto run = place.machine.run({"--span", "2"}, words);
    if (!run) return tl::unexpected(run.error());
    return number_in(*run, words.front());
  };
}

BenchFigure start_figure(int cell, int count) {
  return [cell, count](const BenchPlace& place) -> Outcome<double> {
    const auto program = make_program({"/bin/true"});
    if (!program) return tl::unexpected(program.error());
    std::vector<double> figures;
    for (int i = 0; i <= count; ++i) {
      if (interrupted()) return tl::unexpected(interrupted_refusal());
      const auto ns = start_and_end(place.machine.machine(), *program, cell);
      if (!ns) return ns;
      if (i > 0) figures.push_back(*ns);  // the first one warms
    }
    const auto middle = figures.begin() + static_cast<std::ptrdiff_t>(figures.size() / 2);
    std::ranges::nth_element(figures, middle);
    return *middle;
  };
}

BenchFigure raytrace_figure(int cells) {
  return [cells](const BenchPlace& place) {
    return wall_time(
        place.machine.run({"--span", std::to_string(cells)}, picture("raytrace", place)));
  };
}

BenchFigure raytrace_threads_figure(int threads) {
  return [threads](const BenchPlace& place) {
    Words words = picture("raytrace-threads", place);
    words.push_back("--threads");
    words.push_back(std::to_string(threads));
    return wall_time(run_program(words));
  };
}

}  // namespace hive::cli
