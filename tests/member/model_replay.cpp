// Replays traces of the Promela models (models/) on real MemberCores: reads the steps from
// standard input, gives each to the core of the cell that takes it, and compares what the core
// shows and orders with what the model says. models/README.md has the form of the traces. Driven
// by model_replay.py; says where they differ, and then ends with status 1.
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>

#include "replay_machine.h"

int main() {
  hive::test::ReplayMachine machine;
  std::string line;
  long number = 0;
  long steps = 0;
  long runs = 0;
  while (std::getline(std::cin, line)) {
    ++number;
    const std::size_t mark = line.find("@ ");
    if (mark == std::string::npos) continue;  // what else spin has to say
    std::istringstream words(line.substr(mark + 2));
    std::string step;
    words >> step;
    if (step == "end") ++runs;
    const std::string difference = machine.take(step, words);
    if (!difference.empty()) {
      std::printf("line %ld, `%s`: %s\n", number, line.c_str(), difference.c_str());
      return 1;
    }
    ++steps;
  }
  std::printf("%ld runs, %ld steps, no difference\n", runs, steps);
  return runs > 0 ? 0 : 1;
}
