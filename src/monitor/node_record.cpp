#include "monitor/node_record.h"

#include <cstdio>
#include <fstream>

#include <nlohmann/json.hpp>

#include "proto/runtime_dir.h"

namespace hive::monitor {

using Json = nlohmann::json;

bool write_node_record(const std::string& machine_dir, int node, const NodeRecord& record) {
  const std::string path = proto::node_record_file(machine_dir, node);
  const std::string draft = path + ".new";
  const Json json = {{"incarnation", record.incarnation},
                     {"state", record.state},
                     {"reason", record.reason},
                     {"again", record.again}};
  std::ofstream file(draft);
  file << json.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
  file.close();
  return file && ::rename(draft.c_str(), path.c_str()) == 0;
}

NodeRecord read_node_record(const std::string& machine_dir, int node) {
  std::ifstream file(proto::node_record_file(machine_dir, node));
  const Json json = Json::parse(file, nullptr, false);
  NodeRecord record;
  if (!json.is_object()) return record;
  try {
    record.incarnation = json.at("incarnation").get<std::uint64_t>();
    record.state = json.at("state").get<std::string>();
    record.reason = json.at("reason").get<std::string>();
    record.again = json.at("again").get<bool>();
  } catch (const Json::exception&) {
    return {};
  }
  return record;
}

}  // namespace hive::monitor
