// What a gate asks of the other cells: where a name is, and that it may be made here. Implemented
// over RPC and careful reads by whoever knows the other cells.
#pragma once

#include <functional>
#include <string_view>

#include <hive/error.h>
#include "base/ids.h"

namespace hive::cell {

class NameService {
 public:
  using Found = std::function<void(const Result<CellId>&)>;
  using Reserved = std::function<void(const Result<void>&)>;

  virtual ~NameService() = default;

  // Which live cell, this one included, is the home of a segment of that name. Does not block;
  // calls `done` once, at once or later, from any thread. Errors: not_found, timed_out.
  virtual void find(std::string_view name, Found done) = 0;
  // Whether this cell may make a segment of that name now. Does not block, `done` as above. After
  // success, release() follows when the segment exists or its creation has failed.
  // Errors: exists, exhausted, timed_out.
  virtual void reserve(std::string_view name, Reserved done) = 0;
  // Any thread; does not block.
  virtual void release(std::string_view name) = 0;
};

}  // namespace hive::cell
