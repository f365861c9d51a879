// What `hive campaign` runs, with options that it has checked:
//   hive-campaign FAULTS FIRST SEED CELLS KINDS JSON KEEP [DEFENCE...]     "-" for an empty word
#include <cstdio>
#include <exception>

#include "campaign/driver/campaign.h"

int main(int argc, char** argv) {
  using namespace hive::campaign;
  if (argc < 8) {
    std::fputs("hive-campaign: wrong usage; `hive campaign` starts it\n", stderr);
    return 2;
  }
  const auto text = [&](int i) {
    const std::string word = argv[i];
    return word == "-" ? std::string() : word;
  };
  try {
    Options options;
    options.faults = std::stoull(argv[1]);
    options.first = std::stoull(argv[2]);
    options.seed = std::stoull(argv[3]);
    options.cells = std::stoi(argv[4]);
    options.kinds = text(5);
    options.json = text(6) == "json";
    options.keep = text(7);
    for (int i = 8; i < argc; ++i) options.sabotage.emplace_back(argv[i]);
    catch_interrupts();
    Campaign campaign(options);
    return campaign.run();
  } catch (const std::exception& problem) {
    if (interrupted() != 0) return 128 + interrupted();
    std::fprintf(stderr, "hive: %s\n", problem.what());
    return 1;
  }
}
