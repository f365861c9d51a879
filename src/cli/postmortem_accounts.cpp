#include "cli/postmortem_accounts.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <tuple>

#include "cli/ask.h"

namespace hive::cli {
namespace {

namespace fs = std::filesystem;

std::uint64_t noticed_ns(const Json& account) {
  return static_cast<std::uint64_t>(
      number_of(account.value("times_ns", Json::object()), "noticed"));
}

bool is_account(const Json& json) {
  return json.is_object() && json.contains("boot") && json["boot"].is_string() &&
         number_of(json, "cell", -1) >= 0 && number_of(json, "by", -1) >= 0 &&
         json.contains("times_ns") && json["times_ns"].is_object();
}

}  // namespace

std::string Death::cause() const {
  for (const Json& account : accounts) {
    if (std::string cause = text_of(account, "cause"); !cause.empty()) return cause;
  }
  return "not known";
}

std::string Death::last_words() const {
  for (const Json& account : accounts) {
    if (std::string words = text_of(account, "last_words"); !words.empty()) return words;
  }
  return {};
}

Json Death::ranges() const {
  Json all = Json::array();
  for (const Json& account : accounts) {
    const Json lost = account.value("lost_here", Json::object());
    for (Json range : list_of(lost, "ranges")) {
      if (!range.is_object()) continue;
      range["home"] = number_of(account, "by", -1);
      all.push_back(std::move(range));
    }
  }
  return all;
}

Json Death::left(const char* what) const {
  for (const Json& account : accounts) {
    const Json left = account.value("left_behind", Json::object());
    if (left.is_object() && left.contains(what)) return list_of(left, what);
  }
  return Json::array();
}

std::vector<Death> read_deaths(const std::string& state_dir) {
  std::map<std::tuple<std::string, int, std::uint64_t>, Death> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(state_dir + "/postmortem", error)) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream file(entry.path());
    Json account = Json::parse(file, nullptr, false);
    if (!is_account(account)) continue;
    const auto cell = static_cast<int>(number_of(account, "cell"));
    const auto incarnation = static_cast<std::uint64_t>(number_of(account, "incarnation"));
    const auto time_ms = static_cast<std::uint64_t>(number_of(account, "time_ms"));
    const std::string boot = account["boot"].get<std::string>();
    Death& death = found[{boot, cell, incarnation}];
    death.boot = boot;
    death.cell = cell;
    death.incarnation = incarnation;
    death.time_ms = death.time_ms == 0 ? time_ms : std::min(death.time_ms, time_ms);
    death.accounts.push_back(std::move(account));
  }
  std::vector<Death> deaths;
  for (auto& [key, death] : found) {
    std::ranges::sort(death.accounts, {}, noticed_ns);
    deaths.push_back(std::move(death));
  }
  std::ranges::sort(deaths, {}, [](const Death& death) {
    return std::tuple(death.time_ms, death.cell);
  });
  for (std::size_t i = 0; i < deaths.size(); ++i) deaths[i].number = static_cast<int>(i) + 1;
  return deaths;
}

}  // namespace hive::cli
