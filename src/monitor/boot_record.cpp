#include "monitor/boot_record.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include <fmt/format.h>
#include <unistd.h>

#include "monitor/directories.h"

namespace hive::monitor {

using Json = nlohmann::json;

const char* version() { return HIVE_VERSION; }

Outcome<void> write_boot_record(const BootPlan& plan, int monitor_pid) {
  const Json record = {
      {"machine", plan.machine},
      {"version", version()},
      {"boot_id", plan.boot_id},
      {"cells", plan.layout.cells},
      {"layout",
       {{"base", plan.layout.base},
        {"stride", plan.layout.stride},
        {"kernel_bytes", plan.layout.kernel_bytes},
        {"user_bytes", plan.layout.user_bytes},
        {"cells", plan.layout.cells}}},
      {"firewall_mode", static_cast<std::uint32_t>(plan.firewall)},
      {"firewall", machine::firewall_mode_name(plan.firewall)},
      {"namespaces", plan.namespaces},
      {"uid", ::getuid()},
      {"monitor_pid", monitor_pid},
      {"state_dir", plan.state_dir},
      {"log", log_file(plan.state_dir)},
  };
  const std::string path = proto::boot_record_file(plan.machine_dir);
  const std::string draft = path + ".new";
  std::ofstream file(draft);
  file << record.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
  file.close();
  if (!file || ::rename(draft.c_str(), path.c_str()) != 0) {
    return refuse(exit_failed,
                  fmt::format("{} can not be written: {}", path, std::strerror(errno)));
  }
  return {};
}

Json read_boot_record(const std::string& machine_dir) {
  std::ifstream file(proto::boot_record_file(machine_dir));
  Json record = Json::parse(file, nullptr, false);
  return record.is_object() ? record : Json();
}

}  // namespace hive::monitor
