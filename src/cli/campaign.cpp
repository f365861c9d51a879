// hive campaign: the fault campaign, which is a program of its own that uses this command.

#include <cerrno>
#include <cstring>
#include <memory>
#include <random>

#include <fmt/format.h>
#include <unistd.h>

#include "base/ids.h"
#include "cli/command.h"
#include "machine/sabotage.h"
#include "monitor/host.h"
#include "monitor/refusal.h"
#include "monitor/sizes.h"

namespace hive::cli {
namespace {

constexpr int faults_max = 1'000'000;
constexpr const char* campaign_footer =
    "Boots a machine of its own, runs a load on it, makes one fault after the other, and has a\n"
    "judge decide after each: contained, or escaped. Each escape cites its evidence and the\n"
    "command that replays it. Exit status 1 when anything escaped.\n";

struct CampaignArguments {
  std::string faults = "100";
  std::string first = "0";
  std::string seed;
  std::string kinds;
  std::string cells = "4";
  std::string keep;
  std::vector<std::string> sabotage;
  bool json = false;
};

std::string seed_of(const CampaignArguments& arguments) {
  if (arguments.seed.empty()) return std::to_string(std::random_device()());
  if (const auto seed = monitor::parse_number(arguments.seed, 0, INT64_MAX)) {
    return std::to_string(*seed);
  }
  throw CLI::ValidationError(fmt::format("--seed wants a number, not '{}'", arguments.seed),
                             CLI::ExitCodes::ValidationError);
}

std::vector<std::string> defence_names() {
  std::vector<std::string> names;
  for (const auto& defence : machine::Sabotage::defences()) names.emplace_back(defence.name);
  return names;
}

int campaign(const CampaignArguments& arguments) {
  const auto or_dash = [](const std::string& text) { return text.empty() ? "-" : text; };
  std::vector<std::string> words = {
      monitor::helper_program("hive-campaign"),
      std::to_string(number_option("--faults", arguments.faults, 1, faults_max)),
      std::to_string(number_option("--first", arguments.first, 0, faults_max)),
      seed_of(arguments),
      std::to_string(number_option("--cells", arguments.cells, 2, max_cells)),
      or_dash(arguments.kinds),
      arguments.json ? "json" : "-",
      or_dash(arguments.keep)};
  words.insert(words.end(), arguments.sabotage.begin(), arguments.sabotage.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execv(pointers.front(), pointers.data());
  return complain(monitor::Refusal{
      monitor::exit_failed,
      fmt::format("{} can not be started: {}", words.front(), std::strerror(errno))});
}

}  // namespace

void add_campaign(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<CampaignArguments>();
  CLI::App* command =
      app.add_subcommand("campaign", "Make faults on a machine of its own, and judge what comes");
  command->add_option("--faults", arguments->faults, "How many")
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--seed", arguments->seed, "What they and the load are drawn from")
      ->type_name("S");
  command->add_option("--kinds", arguments->kinds, "Only kinds of these names, as kill,hang")
      ->type_name("LIST");
  command->add_option("--cells", arguments->cells, "Number of cells, 2 to 64")
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--first", arguments->first, "Number of the first fault, to replay one")
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--keep", arguments->keep, "Leave all logs and evidence here")
      ->type_name("DIR");
  CLI::IsMember known(defence_names());
  known.description("");  // the list is in the text; in braces it is a word too long for a line
  command
      ->add_option("--sabotage", arguments->sabotage,
                   "Turn a defence off: firewall, discard, careful, fence, barrier; of files "
                   "sequence, write-back, sync, generation, close, punch")
      ->type_name("DEFENCE")
      ->check(known);
  command->add_flag("--json", arguments->json, "As JSON");
  command->footer(campaign_footer);
  command->callback([arguments, &context] { context.status = campaign(*arguments); });
}

}  // namespace hive::cli
