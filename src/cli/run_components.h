// The components of a run: one task for each cell it spans, each behind a connection of its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "cli/ask.h"

namespace hive::cli {

// What is to be run, the same for all components.
struct Program {
  std::string name;
  std::vector<std::string> arguments;    // with the program's name first
  std::vector<std::string> environment;  // NAME=value
  UniqueFd working_directory;
  std::string span_id;
};

struct Component {
  int cell = -1;
  UniqueFd socket;        // open while the task runs
  std::int64_t task = 0;  // machine-wide number
  bool lost = false;      // its cell failed
  int status = 0;         // exit status as a shell has it, once ended
};

// The program as the command line, the environment and the working directory have it. What is not
// UTF-8 can not travel: an argument is refused, a variable is left out with a warning.
Outcome<Program> make_program(const std::vector<std::string>& words);

// Starts one component. Errors: exit_not_found and exit_not_executable (the program), exit_lost
// (the cell is down or went down: `cell_was_down` tells the caller to try another), exit_failed.
struct StartFailure {
  Refusal refusal;
  bool cell_was_down = false;
};
tl::expected<Component, StartFailure> start_component(const Machine& machine,
                                                      const Program& program, int cell, int index,
                                                      int count);

// Waits until all have ended, passing signals on to them, and says what was lost. The signals must
// be blocked (block_forwarded_signals) from before the first start. Returns the exit status.
int wait_for_components(const Program& program, std::vector<Component>& components);
void block_forwarded_signals();

// The exit status of a run. All alive: that of the first component to fail, in order of time. A
// cell was lost: 75, but if a survivor succeeded, the worst of the survivors.
int combined_status(const std::vector<Component>& components, int first_failure);

}  // namespace hive::cli
