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
      {"processors", plan.processors},
      {"node_program", plan.node_program},
      {"kernel_program", plan.kernel_program},
      {"hive_program", plan.hive_program},
      {"reboot", plan.reboot},
      {"tries", plan.tries},
      {"sabotage", plan.sabotage.names()},
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

Outcome<BootPlan> read_plan(const std::string& machine_dir) {
  const Json record = read_boot_record(machine_dir);
  BootPlan plan;
  plan.machine_dir = machine_dir;
  try {
    plan.machine = record.at("machine").get<std::string>();
    plan.boot_id = record.at("boot_id").get<std::string>();
    plan.state_dir = record.at("state_dir").get<std::string>();
    plan.namespaces = record.at("namespaces").get<bool>();
    plan.processors = record.at("processors").get<std::vector<std::vector<int>>>();
    plan.node_program = record.at("node_program").get<std::string>();
    plan.kernel_program = record.at("kernel_program").get<std::string>();
    plan.hive_program = record.at("hive_program").get<std::string>();
    plan.reboot = record.at("reboot").get<bool>();
    plan.tries = record.at("tries").get<int>();
    for (const Json& name : record.value("sabotage", Json::array())) {
      plan.sabotage.add(name.get<std::string>());
    }
    plan.firewall =
        static_cast<machine::FirewallMode>(record.at("firewall_mode").get<std::uint32_t>());
    const Json& layout = record.at("layout");
    plan.layout.base = layout.at("base").get<std::uint64_t>();
    plan.layout.stride = layout.at("stride").get<std::uint64_t>();
    plan.layout.kernel_bytes = layout.at("kernel_bytes").get<std::uint64_t>();
    plan.layout.user_bytes = layout.at("user_bytes").get<std::uint64_t>();
    plan.layout.cells = layout.at("cells").get<std::uint32_t>();
  } catch (const Json::exception&) {
    return refuse(exit_failed, fmt::format("the boot record in {} is not complete", machine_dir));
  }
  if (plan.layout.cells < 1 || plan.layout.cells > max_cells ||
      plan.processors.size() != plan.layout.cells) {
    return refuse(exit_failed, fmt::format("the boot record in {} makes no sense", machine_dir));
  }
  return plan;
}

Json read_boot_record(const std::string& machine_dir) {
  std::ifstream file(proto::boot_record_file(machine_dir));
  Json record = Json::parse(file, nullptr, false);
  return record.is_object() ? record : Json();
}

}  // namespace hive::monitor
