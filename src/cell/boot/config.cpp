#include "cell/boot/config.h"

#include <cstring>
#include <fstream>

#include <nlohmann/json.hpp>

namespace hive::cell {
namespace {

using Json = nlohmann::json;

Result<void> read_boot_record(Config& config) {
  std::ifstream file(config.machine_dir + "/machine.json");
  const Json record = Json::parse(file, nullptr, false);
  if (!record.is_object()) return fail(Code::bad_argument, "the machine has no boot record");
  try {
    config.machine = record.at("machine").get<std::string>();
    config.state_dir = record.at("state_dir").get<std::string>();
    const Json& layout = record.at("layout");
    config.layout.base = layout.at("base").get<std::uint64_t>();
    config.layout.stride = layout.at("stride").get<std::uint64_t>();
    config.layout.kernel_bytes = layout.at("kernel_bytes").get<std::uint64_t>();
    config.layout.user_bytes = layout.at("user_bytes").get<std::uint64_t>();
    config.layout.cells = record.at("cells").get<std::uint32_t>();
    const Json& firewall = record.at("firewall_mode");
    config.firewall = static_cast<machine::FirewallMode>(firewall.get<std::uint32_t>());
    config.boot_id = record.value("boot_id", "");
    config.hive_program = record.value("hive_program", "");
    for (const Json& name : record.value("sabotage", Json::array())) {
      config.sabotage.add(name.get<std::string>());
    }
  } catch (const Json::exception&) {
    return fail(Code::bad_argument, "the boot record is not complete");
  }
  return {};
}

}  // namespace

Result<Config> read_config(int argc, char** argv) {
  Config config;
  for (int i = 1; i + 1 < argc; i += 2) {
    const char* value = argv[i + 1];
    if (std::strcmp(argv[i], "--machine-dir") == 0) {
      config.machine_dir = value;
    } else if (std::strcmp(argv[i], "--cell") == 0) {
      config.self = std::atoi(value);
    } else if (std::strcmp(argv[i], "--incarnation") == 0) {
      config.incarnation = std::strtoull(value, nullptr, 10);
    }
  }
  if (config.machine_dir.empty() || config.self < 0 || config.incarnation == 0) {
    return fail(Code::bad_argument, "a kernel is started by `hive boot`, not by hand");
  }
  if (auto done = read_boot_record(config); !done) return fail(done.error());
  if (config.layout.cells == 0 || config.layout.cells > max_cells || config.layout.stride == 0 ||
      config.self >= static_cast<CellId>(config.layout.cells)) {
    return fail(Code::bad_argument, "the boot record does not fit this cell");
  }
  return config;
}

}  // namespace hive::cell
