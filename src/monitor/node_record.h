// What became of a node after the boot, in a file of the runtime directory (runtime_dir.h): cells
// show it in `hive status`, and a monitor that takes over goes on from it.
#pragma once

#include <cstdint>
#include <string>

namespace hive::monitor {

struct NodeRecord {
  std::uint64_t incarnation = 1;  // the last that was started
  std::string state = "up";       // rebooting, up, draining, down, out
  std::string reason;             // of draining, down and out, in words
  bool again = false;             // draining: it is to be started anew then
};

// Never seen half written. False when it can not be written.
bool write_node_record(const std::string& machine_dir, int node, const NodeRecord& record);
// Of a node that has no record, or one that makes no sense: that of a boot.
NodeRecord read_node_record(const std::string& machine_dir, int node);

}  // namespace hive::monitor
