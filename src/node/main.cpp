// hive-node: the power process of a node. Started by start_node(), never by people.
#include <cstdio>
#include <cstring>

#include <fcntl.h>

#include "machine/linux/power.h"
#include "machine/linux/power_start.h"
#include "node/node_options.h"
#include "node/power_process.h"

int main(int argc, char** argv) {
  using namespace hive;
  if (argc < 4 || ::fcntl(machine::power_fd_report, F_GETFD) < 0) {
    std::fputs("hive-node is started by hive itself; see `hive boot`.\n", stderr);
    return 2;
  }
  node::NodeOptions options;
  options.number = argv[1];
  options.namespaces = std::strcmp(argv[2], "namespaces") == 0;
  options.tied = std::strcmp(argv[2], "untied") != 0;
  options.kernel = argv + 3;
  return node::run_power_process(options);
}
