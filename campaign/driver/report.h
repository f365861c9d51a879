// What a campaign has found: the table by kind, and the same as JSON.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace hive::campaign {

using Json = nlohmann::json;

class Report {
 public:
  // `verdict` is the judge's: {"escapes": [...], "times_ms": {...}}.
  void add(const std::string& kind, bool activated, const Json& verdict,
           const std::string& replay);
  bool any_escaped() const { return !escapes_.empty(); }
  Json json(std::uint64_t seed) const;
  void print(std::uint64_t seed) const;

 private:
  struct Row {
    std::uint64_t injected = 0;
    std::uint64_t activated = 0;
    std::uint64_t contained = 0;
    std::uint64_t escaped = 0;
    std::map<std::string, std::vector<double>> times_ms;
  };
  Row total() const;
  std::map<std::string, Row> rows_;
  std::vector<Json> escapes_;
};

}  // namespace hive::campaign
