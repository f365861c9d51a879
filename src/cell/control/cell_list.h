// A set of cells as it stands in answers and files: their numbers, in order.
#pragma once

#include <nlohmann/json.hpp>

#include "base/ids.h"

namespace hive::cell {

inline nlohmann::json list_of(CellSet cells) {
  auto list = nlohmann::json::array();
  for (; !cells.empty(); cells.remove(cells.lowest())) list.push_back(cells.lowest());
  return list;
}

}  // namespace hive::cell
