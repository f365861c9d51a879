// The command `hive`: reads the command line and hands it to the subcommand.

#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/table.h"
#include "monitor/boot_record.h"

namespace {

using hive::cli::Context;

constexpr const char* footer =
    "Exit status: 0 done; 1 failed; 2 wrong usage; 3 the machine is not running; 4 it is running\n"
    "already. `hive run` passes on the status of the program (128 + N if signal N ended it); 75 "
    "the\n"
    "task was lost with its cell; 126 the program can not be executed; 127 it was not found.\n";

// `hive run [OPTIONS] [--] PROGRAM ARGS...`: from PROGRAM on nothing is an option of ours. Cuts
// the program off the arguments and returns it.
std::vector<std::string> split_program(std::vector<const char*>& arguments) {
  if (arguments.size() < 2 || std::string_view(arguments[1]) != "run") return {};
  std::size_t i = 2;
  for (; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument == "--" || argument.empty() || argument[0] != '-') break;
    if (argument == "--name" || argument == "--cell" || argument == "--span") ++i;  // its value
  }
  if (i >= arguments.size()) return {};
  const std::size_t program = i + (std::string_view(arguments[i]) == "--" ? 1 : 0);
  std::vector<std::string> rest(arguments.begin() + static_cast<std::ptrdiff_t>(program),
                                arguments.end());
  arguments.resize(i);
  return rest;
}

// A descriptor that is opened later must not take the place of a standard stream.
void fill_standard_streams() {
  int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  while (fd >= 0 && fd <= STDERR_FILENO) {
    ::fcntl(fd, F_SETFD, 0);
    fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  }
  if (fd >= 0) ::close(fd);
}

// What to say when the first word is no command of ours; else nothing.
std::string unknown_command(const CLI::App& app, const std::vector<const char*>& arguments) {
  if (arguments.size() < 2) return {};
  const std::string word = arguments[1];
  const auto is_it = [&word](const CLI::App* command) { return command->get_name() == word; };
  if (word.starts_with('-') || !app.get_subcommands(is_it).empty()) return {};
  return fmt::format("no command '{}' (see `hive --help`)", hive::cli::printable(word));
}

int dispatch(std::vector<const char*> arguments) {
  Context context;
  context.program = split_program(arguments);
  CLI::App app("Runs programs on a machine made of cells that share memory, but not fate.",
               "hive");
  app.set_version_flag("--version", fmt::format("hive {}", hive::monitor::version()));
  app.require_subcommand(1);
  app.footer(footer);
  hive::cli::add_boot(app, context);
  hive::cli::add_run(app, context);
  hive::cli::add_ps(app, context);
  hive::cli::add_status(app, context);
  hive::cli::add_postmortem(app, context);
  hive::cli::add_kill(app, context);
  hive::cli::add_drain(app, context);
  hive::cli::add_reboot(app, context);
  hive::cli::add_fault(app, context);
  hive::cli::add_fs(app, context);
  hive::cli::add_check(app, context);
  hive::cli::add_bench(app, context);
  hive::cli::add_campaign(app, context);
  hive::cli::add_shutdown(app, context);
  hive::cli::add_monitor(app, context);
  if (const std::string unknown = unknown_command(app, arguments); !unknown.empty()) {
    hive::cli::complain(unknown);
    return hive::monitor::exit_usage;
  }
  try {
    app.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::Success& asked) {  // --help, --version
    return app.exit(asked);
  } catch (const CLI::ParseError& wrong) {
    hive::cli::complain(fmt::format("{} (see `hive --help`)", wrong.what()));
    return hive::monitor::exit_usage;
  }
  return context.status;
}

}  // namespace

int main(int argc, char** argv) {
  fill_standard_streams();
  try {
    return dispatch(std::vector<const char*>(argv, argv + argc));
  } catch (const std::exception& e) {
    hive::cli::complain(fmt::format("stopped by an error of its own: {}", e.what()));
    return hive::monitor::exit_failed;
  }
}
