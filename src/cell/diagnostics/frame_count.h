// The books of a cell's frames, for `hive status --frames`: how many are in each state, counted
// anew, and whether they add up.
//
//   {"cell": 1, "frames": 4096, "states": {"free": 4000, ...}, "borrowed": 0, "adds_up": true}
//   {..., "adds_up": false, "problem": "..."}
#pragma once

#include <nlohmann/json.hpp>

#include "base/ids.h"

namespace hive::cell {

class BorrowedFrames;
class Home;

// Holds the home's lock while it counts: about 1 ms for each GiB.
nlohmann::json count_frames(CellId self, const Home& home,
                            const BorrowedFrames& borrowed);

}  // namespace hive::cell
