#include "cli/check.h"

#include <cerrno>
#include <fstream>
#include <iterator>
#include <memory>

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "machine/linux/fence.h"

namespace hive::cli {
namespace {

using Json = nlohmann::json;
using machine::FirewallMode;

constexpr unsigned test_seconds_max = 10;

// futex_waitv came with 5.16, and with 5.19 userfaultfd's write protection of shared memory, which
// the firewall is made of. UFFDIO_CONTINUE_MODE_WP (firewall `mmu`) came with 6.4.
constexpr const char* oldest_kernel = "5.19";

FirewallMode try_firewall() {
  const int mode = in_child([] { return static_cast<int>(machine::probe_firewall_mode()); });
  if (mode == static_cast<int>(FirewallMode::mmu)) return FirewallMode::mmu;
  if (mode == static_cast<int>(FirewallMode::mmu_windowed)) return FirewallMode::mmu_windowed;
  return FirewallMode::cooperative;
}

std::vector<Finding> all_findings() {
  std::vector<Finding> findings;
  for (auto part : {check_userfault(), check_kernel(), check_limits()}) {
    findings.insert(findings.end(), std::make_move_iterator(part.begin()),
                    std::make_move_iterator(part.end()));
  }
  return findings;
}

bool all_required(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    if (finding.required && !finding.ok) return false;
  }
  return true;
}

std::string kernel_release() {
  utsname names{};
  return ::uname(&names) == 0 ? names.release : "unknown";
}

void print_as_json(const std::vector<Finding>& findings, FirewallMode mode) {
  Json checks = Json::array();
  for (const Finding& finding : findings) {
    Json check = {{"name", finding.name},
                  {"ok", finding.ok},
                  {"required", finding.required},
                  {"detail", finding.detail}};
    if (!finding.ok) check["cure"] = finding.cure;
    checks.push_back(std::move(check));
  }
  const Json report = {{"kernel", kernel_release()},
                       {"oldest_kernel", oldest_kernel},
                       {"firewall", machine::firewall_mode_name(mode)},
                       {"ok", all_required(findings)},
                       {"checks", checks}};
  fmt::print("{}\n", report.dump(2, ' ', false, Json::error_handler_t::replace));
}

const char* mode_meaning(FirewallMode mode) {
  switch (mode) {
    case FirewallMode::mmu:
      return "pages are closed one by one";
    case FirewallMode::mmu_windowed:
      return "this kernel has no UFFDIO_CONTINUE_MODE_WP (6.4): "
             "mappings are read-only outside windows";
    case FirewallMode::cooperative:
      break;
  }
  return "no protection between cells; `hive boot` wants to be told so";
}

void print_for_people(const std::vector<Finding>& findings, FirewallMode mode) {
  for (const Finding& finding : findings) {
    const char* verdict = finding.ok ? "ok" : finding.required ? "LACK" : "less";
    fmt::print("{:<5} {:<16} {}\n", verdict, finding.name, finding.detail);
    if (!finding.ok && !finding.cure.empty()) fmt::print("      cure: {}\n", finding.cure);
  }
  fmt::print("firewall: {} ({})\n", machine::firewall_mode_name(mode), mode_meaning(mode));
  fmt::print("kernel: {} (the oldest that has what Hive needs is {})\n", kernel_release(),
             oldest_kernel);
}

int check(bool as_json) {
  const std::vector<Finding> findings = all_findings();
  const FirewallMode mode = try_firewall();
  if (as_json) {
    print_as_json(findings, mode);
  } else {
    print_for_people(findings, mode);
  }
  return all_required(findings) ? monitor::exit_ok : monitor::exit_failed;
}

}  // namespace

int in_child(const std::function<int()>& test) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child < 0) return errno;
  if (child == 0) {
    const rlimit no_core{};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::alarm(test_seconds_max);
    ::_exit(test() & 0xff);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

void add_check(CLI::App& app, Context& context) {
  auto as_json = std::make_shared<bool>(false);
  CLI::App* command =
      app.add_subcommand("check", "Try out what this host allows, and how to cure it");
  command->add_flag("--json", *as_json, "As JSON");
  command->callback([as_json, &context] { context.status = check(*as_json); });
}

}  // namespace hive::cli
