// What a kernel has counted of the faults of others and its own, for `hive fault counters`: by
// these a campaign knows whether a fault has taken effect.
//
//   rejected        messages dropped, by why, of all cells; and `rejected_of` by cell
//   careful         reads of other cells' data that failed: bus_errors, bad_address, bad_tag,
//                   bad_value (a check of the reader's own, an endless list), torn (changed under
//                   the reader, too often)
//   blocked_stores  by the firewall of this home, of tasks
//   alerts          accusations raised by this cell; alerts_voted_down: ballots that came to
//                   nothing, whoever had opened them
//   refused_by_disk   calls of the host's disk that were made to fail (machine/disk_fault.h)
//   garbage_requests  calls of tasks that made no sense
#pragma once

#include <nlohmann/json.hpp>

#include "cell/boot/config.h"

namespace hive::cell {

class GateServer;
class Home;
class Inspection;
class Membership;
class RpcEndpoint;
class Survey;

struct Countable {
  const Config& config;
  const Home& home;
  const GateServer& gates;
  RpcEndpoint& rpc;
  const Membership& membership;
  const Inspection& inspection;
  Survey& survey;
};
nlohmann::json count_all(const Countable& parts);

}  // namespace hive::cell
