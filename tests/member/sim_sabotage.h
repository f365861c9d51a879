// The bugs that can be planted, by name. The simulator finds each: else it proves nothing.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "cell/member/member_core.h"

namespace hive::test {

struct PlantedBug {
  const char* name;
  void (*plant)(cell::MemberSabotage&);
};

inline constexpr std::array<PlantedBug, 10> planted_bugs{{
    {"skip_first_barrier", [](cell::MemberSabotage& s) { s.skip_first_barrier = true; }},
    {"skip_second_barrier", [](cell::MemberSabotage& s) { s.skip_second_barrier = true; }},
    {"believe_deaths", [](cell::MemberSabotage& s) { s.believe_deaths = true; }},
    {"settle_before_off", [](cell::MemberSabotage& s) { s.settle_before_off = true; }},
    {"reuse_incarnation", [](cell::MemberSabotage& s) { s.reuse_incarnation = true; }},
    {"no_restart", [](cell::MemberSabotage& s) { s.no_restart = true; }},
    {"forget_epoch", [](cell::MemberSabotage& s) { s.forget_epoch = true; }},
    {"minority_decides", [](cell::MemberSabotage& s) { s.ballots.minority_decides = true; }},
    {"drop_votes", [](cell::MemberSabotage& s) { s.ballots.drop_votes = true; }},
    {"trust_false_alarms", [](cell::MemberSabotage& s) { s.ballots.trust_false_alarms = true; }},
}};

inline std::optional<cell::MemberSabotage> sabotage_named(std::string_view name) {
  for (const PlantedBug& bug : planted_bugs) {
    if (name != bug.name) continue;
    cell::MemberSabotage sabotage;
    bug.plant(sabotage);
    return sabotage;
  }
  return std::nullopt;
}

}  // namespace hive::test
