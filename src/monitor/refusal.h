// Why a command can not do what it was asked for: one line for people, and the exit status that
// tells scripts. hive::Error has only texts of static lifetime; these have names and numbers in
// them.
#pragma once

#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace hive::monitor {

// Exit statuses of `hive`; `hive --help` lists them.
inline constexpr int exit_ok = 0;
inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_not_running = 3;
inline constexpr int exit_running_already = 4;
inline constexpr int exit_lost = 75;
inline constexpr int exit_not_executable = 126;
inline constexpr int exit_not_found = 127;
inline constexpr int exit_signal_base = 128;

struct Refusal {
  int status = exit_failed;
  std::string text;  // one line or more, without the name of the program in front
};

template <class T>
using Outcome = tl::expected<T, Refusal>;

inline tl::unexpected<Refusal> refuse(int status, std::string text) {
  return tl::unexpected<Refusal>(Refusal{status, std::move(text)});
}

}  // namespace hive::monitor
