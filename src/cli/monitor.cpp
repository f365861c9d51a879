// hive monitor: not for people. A kernel starts it when the machine's monitor has died.

#include <memory>

#include "cli/command.h"
#include "monitor/daemon.h"

namespace hive::cli {

void add_monitor(CLI::App& app, Context& context) {
  struct Arguments {
    std::string dir;
    int lock = -1;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("monitor", "Take over a machine whose monitor has died");
  command->group("");  // in no help
  command->add_option("--adopt", arguments->dir, "Its runtime directory")->required();
  command->add_option("--lock", arguments->lock, "Descriptor of its lock")->required();
  command->callback([arguments, &context] {
    context.status = monitor::take_over(arguments->dir, arguments->lock);
  });
}

}  // namespace hive::cli
