#include "campaign/driver/report.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace hive::campaign {
namespace {

constexpr std::array phases = {"detect", "agree", "recover", "reintegrate"};

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const auto last = static_cast<double>(values.size() - 1);
  return values[static_cast<std::size_t>(last * share + 0.5)];
}

}  // namespace

void Report::add(const std::string& kind, bool activated, const Json& verdict,
                 const std::string& replay) {
  Row& row = rows_[kind];
  ++row.injected;
  if (activated) ++row.activated;
  const Json escapes = verdict.value("escapes", Json::array());
  if (!escapes.empty()) {
    ++row.escaped;
    for (Json escape : escapes) {
      escape["kind"] = kind;
      escape["replay"] = replay;
      escapes_.push_back(std::move(escape));
    }
  } else if (activated) {
    ++row.contained;
  }
  for (const char* phase : phases) {
    for (const Json& ms : verdict.value("times_ms", Json::object()).value(phase, Json::array())) {
      row.times_ms[phase].push_back(ms.get<double>());
    }
  }
}

Report::Row Report::total() const {
  Row sum;
  for (const auto& [kind, row] : rows_) {
    sum.injected += row.injected;
    sum.activated += row.activated;
    sum.contained += row.contained;
    sum.escaped += row.escaped;
    for (const auto& [phase, values] : row.times_ms) {
      sum.times_ms[phase].insert(sum.times_ms[phase].end(), values.begin(), values.end());
    }
  }
  return sum;
}

Json Report::json(std::uint64_t seed) const {
  const auto times_of = [](const Row& row) {
    Json times = Json::object();
    for (const char* phase : phases) {
      const auto found = row.times_ms.find(phase);
      const std::vector<double> values =
          found == row.times_ms.end() ? std::vector<double>() : found->second;
      times[phase] = {{"p50", quantile(values, 0.5)},
                      {"p99", quantile(values, 0.99)},
                      {"max", quantile(values, 1)},
                      {"count", values.size()}};
    }
    return times;
  };
  const auto row_json = [&](const Row& row) {
    return Json{{"injected", row.injected},
                {"activated", row.activated},
                {"contained", row.contained},
                {"escaped", row.escaped},
                {"times_ms", times_of(row)}};
  };
  Json report = row_json(total());
  report["seed"] = seed;
  report["kinds"] = Json::object();
  for (const auto& [kind, row] : rows_) report["kinds"][kind] = row_json(row);
  report["escapes"] = escapes_;
  return report;
}

void Report::print(std::uint64_t seed) const {
  fmt::print("{:<26}{:>9}{:>10}{:>10}{:>8}  median / p99 / worst of, in ms\n", "KIND", "INJECTED",
             "ACTIVATED", "CONTAINED", "ESCAPED");
  fmt::print("{:<63}  {:<22}{:<22}{:<22}{:<22}\n", "", "detect", "agree", "recover",
             "reintegrate");
  const auto line = [](const std::string& name, const Row& row) {
    fmt::print("{:<26}{:>9}{:>10}{:>10}{:>8}  ", name, row.injected, row.activated, row.contained,
               row.escaped);
    for (const char* phase : phases) {
      const auto found = row.times_ms.find(phase);
      if (found == row.times_ms.end()) {
        fmt::print("{:<22}", "-");
        continue;
      }
      fmt::print("{:<22}", fmt::format("{:.1f} / {:.1f} / {:.1f}", quantile(found->second, 0.5),
                                       quantile(found->second, 0.99), quantile(found->second, 1)));
    }
    fmt::print("\n");
  };
  for (const auto& [kind, row] : rows_) line(kind, row);
  line("all", total());
  for (const Json& escape : escapes_) {
    fmt::print("ESCAPED ({}): {}: {}\n  replay: {}\n", escape.value("kind", ""),
               escape.value("what", ""), escape.value("evidence", ""), escape.value("replay", ""));
  }
  fmt::print("seed {}: {}\n", seed,
             escapes_.empty() ? "no escape" : fmt::format("{} escapes", escapes_.size()));
}

}  // namespace hive::campaign
