#include "cli/command.h"

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "monitor/sizes.h"
#include "proto/control.h"
#include "proto/runtime_dir.h"

namespace hive::cli {

void add_name(CLI::App& command, std::string& name) {
  command.add_option("--name", name, "Name of the machine")
      ->type_name("NAME")
      ->default_str(proto::default_machine)
      ->envname(proto::env_machine);
}

void complain(const std::string& text) { fmt::print(stderr, "hive: {}\n", text); }

int complain(const monitor::Refusal& refusal) {
  complain(refusal.text);
  return refusal.status;
}

int number_option(const std::string& option, const std::string& text, int lowest, int highest) {
  const auto number = monitor::parse_number(text, lowest, highest);
  if (number) return static_cast<int>(*number);
  throw CLI::ValidationError(
      fmt::format("{} wants a number from {} to {}, not '{}'", option, lowest, highest, text),
      CLI::ExitCodes::ValidationError);
}

int signal_number(const std::string& text) {
  if (const auto number = monitor::parse_number(text, 1, NSIG - 1))
    return static_cast<int>(*number);
  std::string_view name = text;
  if (name.substr(0, 3) == "SIG") name.remove_prefix(3);
  for (int number = 1; number < NSIG; ++number) {
    const char* known = ::sigabbrev_np(number);
    if (known != nullptr && name == known) return number;
  }
  return 0;
}

}  // namespace hive::cli
