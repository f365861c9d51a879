#include "cli/bench_report.h"

#include <array>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>
#include <sys/utsname.h>

#include "cli/ask.h"
#include "cli/table.h"
#include "monitor/host.h"

namespace hive::cli {
namespace {

std::string time_text(double ns) {
  if (ns < 1e3) return fmt::format("{:.{}f} ns", ns, ns < 100 ? 1 : 0);
  if (ns < 1e6) return fmt::format("{:.2f} us", ns / 1e3);
  if (ns < 1e9) return fmt::format("{:.2f} ms", ns / 1e6);
  return fmt::format("{:.2f} s", ns / 1e9);
}

std::string value_text(const BenchRow& row, double value) {
  return row.unit == BenchUnit::percent ? fmt::format("{:.2f} %", value) : time_text(value);
}

std::string bound_text(const BenchResult& result) {
  if (!result.row->bound) return "-";
  return result.row->bound->text;
}

std::string holds_text(const BenchResult& result) {
  const auto holds = result.holds();
  if (!holds) return "-";
  return *holds ? "yes" : "NO";
}

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json row_json(const BenchResult& result) {
  const BenchRow& row = *result.row;
  Json json = {{"name", row.name},
               {"value", result.figures.value},
               {"unit", row.unit == BenchUnit::percent ? "%" : "ns"},
               {"baseline", or_null(result.figures.baseline)},
               {"ratio", or_null(result.figures.ratio)},
               {"spread", result.figures.spread},
               {"bound", row.bound ? Json(row.bound->text) : Json()},
               {"holds", or_null(result.holds())},
               {"pairs", result.pairs},
               {"against", row.against.empty() ? Json() : Json(row.against)}};
  if (result.figures.rpc) json["rpc"] = *result.figures.rpc;
  return json;
}

std::string processor_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name"))
      return line.substr(std::min(line.find(": ") + 2, line.size()));
  }
  return "unknown";
}

Json host_json(const std::string& firewall) {
  utsname kernel{};
  ::uname(&kernel);
  std::array<double, 3> load{};
  if (::getloadavg(load.data(), static_cast<int>(load.size())) < 0) load.fill(-1);
  return {{"processors", monitor::allowed_processors().size()},
          {"model", processor_model()},
          {"kernel", std::string(kernel.release)},
          {"load", load},
          {"cells", bench_cells},
          {"firewall", firewall}};
}

}  // namespace

void print_bench_table(const std::vector<BenchResult>& results) {
  Table table({"ROW", "VALUE", "BASELINE", "RATIO", "SPREAD", "BOUND", "HOLDS", "AGAINST"});
  int bounds = 0;
  int held = 0;
  for (const BenchResult& result : results) {
    const BenchFigures& f = result.figures;
    if (const auto holds = result.holds()) {
      ++bounds;
      if (*holds) ++held;
    }
    table.add({result.row->name, value_text(*result.row, f.value),
               f.baseline ? value_text(*result.row, *f.baseline) : "-",
               f.ratio ? fmt::format("{:.2f}", *f.ratio) : "-",
               fmt::format("{:.0f} %", 100 * f.spread), bound_text(result), holds_text(result),
               result.row->against + (f.rpc ? fmt::format(" (RPC {})", time_text(*f.rpc)) : "")});
  }
  table.print();
  fmt::print(
      "{} of {} bounds hold. Values and ratios are medians of {} pairs; spread is from the "
      "10th to the 90th percentile.\n",
      held, bounds, results.empty() ? 0 : results.front().pairs);
}

void print_bench_json(const std::vector<BenchResult>& results, const std::string& firewall) {
  Json rows = Json::array();
  for (const BenchResult& result : results) rows.push_back(row_json(result));
  print_json({{"rows", rows}, {"host", host_json(firewall)}});
}

}  // namespace hive::cli
