// Fault points of a cell's next incarnation: whoever is told of one notes it in a file, which the
// new kernel takes away when it starts.

#include <fstream>
#include <string>

#include <unistd.h>

#include "cell/diagnostics/injection.h"
#include "machine/fault_point.h"
#include "proto/runtime_dir.h"

namespace hive::cell {

Result<void> plant_fault_point(const Config& config, CellId cell, const std::string& point,
                               std::uint32_t skip) {
  if (!machine::find_fault_point(point)) {
    return fail(Code::bad_argument, "there is no such point", cell);
  }
  const std::string path = proto::fault_point_file(config.machine_dir, cell);
  const std::string draft = path + ".new";
  std::ofstream file(draft);
  file << point << ' ' << skip << '\n';
  file.close();
  if (!file || ::rename(draft.c_str(), path.c_str()) != 0) {
    return fail(Code::host, "the fault can not be noted", cell);
  }
  return {};
}

void arm_planted_fault_point(const Config& config) {
  const std::string path = proto::fault_point_file(config.machine_dir, config.self);
  std::string name;
  std::uint32_t skip = 0;
  {
    std::ifstream file(path);
    if (!(file >> name >> skip)) return;
  }
  ::unlink(path.c_str());
  if (const auto point = machine::find_fault_point(name)) {
    machine::arm_fault_point(point->point, skip);
  }
}

}  // namespace hive::cell
