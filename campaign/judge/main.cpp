// The judge of a campaign: a line of evidence on standard input, a line of judgement on standard
// output. It knows the plan and the logs in DIR, and nothing of how the machine was booted.
//   hive-campaign-judge DIR            after a campaign: ... DIR <DIR/evidence.jsonl
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <string>

#include "campaign/judge/judge.h"

int main(int argc, char** argv) {
  using namespace hive::campaign;
  if (argc != 2) {
    std::fputs("hive-campaign-judge: which campaign? hive-campaign-judge DIR\n", stderr);
    return 2;
  }
  try {
    std::unique_ptr<Judge> judge;
    bool escaped = false;
    for (std::string line; std::getline(std::cin, line);) {
      if (!judge) {
        judge = std::make_unique<Judge>(read_plan(std::string(argv[1]) + "/plan.json"), argv[1]);
      }
      const Json verdict = judge->decide(Json::parse(line));
      escaped |= verdict["verdict"] != "contained";
      std::cout << verdict.dump() << std::endl;
    }
    return escaped ? 1 : 0;
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "hive-campaign-judge: %s\n", problem.what());
    return 1;
  }
}
