#include "cell/diagnostics/counters.h"

#include <array>
#include <cstdint>

#include "cell/careful/careful.h"
#include "cell/control/inspection.h"
#include "cell/control/survey.h"
#include "cell/gate/gate_server.h"
#include "cell/home/home.h"
#include "cell/member/membership.h"
#include "cell/rpc/rpc_endpoint.h"
#include "machine/disk_fault.h"

namespace hive::cell {
namespace {

using Json = nlohmann::json;

// In the order of RpcReject.
constexpr std::array<const char*, static_cast<std::size_t>(RpcReject::count_)> reject_names = {
    "malformed", "peer_down", "stale", "repeated", "implausible", "no_such_call", "garbled"};

struct CarefulSum {
  std::uint64_t bus_errors = 0;
  std::uint64_t bad_address = 0;
  std::uint64_t bad_tag = 0;
  std::uint64_t bad_value = 0;
  std::uint64_t torn = 0;
  void add(const CarefulCounters& counted) {
    bus_errors += counted.bus_errors.load();
    bad_address += counted.bad_address.load();
    bad_tag += counted.bad_tag.load();
    bad_value += counted.corrupt.load() - counted.bad_address.load() - counted.bad_tag.load();
    torn += counted.raced.load();
  }
};

}  // namespace

Json count_all(const Countable& parts) {
  Json rejected = Json::object();
  Json of_cells = Json::object();
  CarefulSum careful;
  for (CellId cell = 0; cell < static_cast<CellId>(parts.config.layout.cells); ++cell) {
    careful.add(parts.survey.counters(cell));
    careful.add(parts.membership.board_counters(cell));
    careful.add(parts.inspection.counters(cell));
    if (cell == parts.config.self) continue;
    const RpcPeerCounters& counted = parts.rpc.counters(cell);
    of_cells[std::to_string(cell)] = counted.rejected_total();
    for (std::size_t i = 0; i < reject_names.size(); ++i) {
      const std::uint64_t before = rejected.value(reject_names[i], std::uint64_t{0});
      rejected[reject_names[i]] = before + counted.rejected[i].load();
    }
  }
  const auto* blocked = reinterpret_cast<const BlockedRing*>(parts.home.root()->blocked);
  return {{"cell", parts.config.self},
          {"incarnation", parts.config.incarnation},
          {"rejected", rejected},
          {"rejected_of", of_cells},
          {"careful",
           {{"bus_errors", careful.bus_errors},
            {"bad_address", careful.bad_address},
            {"bad_tag", careful.bad_tag},
            {"bad_value", careful.bad_value},
            {"torn", careful.torn}}},
          {"blocked_stores", parts.config.layout.in_kernel(
                                 parts.config.self, parts.home.root()->blocked)
                                 ? blocked->total.load()
                                 : 0},
          {"alerts", parts.membership.alerts()},
          {"alerts_voted_down", parts.membership.alerts_voted_down()},
          {"refused_by_disk", machine::disk_refusals()},
          {"gate_requests", parts.gates.stats().served},
          {"garbage_requests", parts.gates.stats().garbage}};
}

}  // namespace hive::cell
