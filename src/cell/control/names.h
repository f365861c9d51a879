// Names of segments in the whole machine: found by careful reference in the published tables of
// all live cells; made unique by asking all live cells before a segment is created
// (local_names.h). No cell is special: the cell that creates asks the others, and each answers for
// itself.
#pragma once

#include <string>
#include <string_view>

#include <hive/error.h>
#include "cell/control/survey.h"
#include "cell/home/local_names.h"
#include "cell/member/membership.h"
#include "cell/rpc/rpc_endpoint.h"

namespace hive::cell {

class Names {
 public:
  Names(CellId self, LocalNames& local, Survey& survey, Membership& membership, RpcEndpoint& rpc)
      : self_(self), local_(local), survey_(survey), membership_(membership), rpc_(rpc) {}

  // Before rpc.start(): answers what others ask.
  void serve();

  // The live cell that is the home of the name. Blocks while it looks at every cell, some
  // microseconds each. Errors: not_found.
  Result<CellId> find(std::string_view name);

  // Makes sure that no other cell has or creates the name. Blocks for a call to every live cell.
  // Errors: exists, busy (another is creating it; try again), exhausted. finish() must follow.
  Result<void> reserve(std::string_view name);
  void finish(std::string_view name);

 private:
  const CellId self_;
  LocalNames& local_;
  Survey& survey_;
  Membership& membership_;
  RpcEndpoint& rpc_;
};

}  // namespace hive::cell
