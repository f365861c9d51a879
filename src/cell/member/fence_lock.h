// The fence lock: a Linux file lock that lets one cell at a time read all boards and decide a
// ballot that has no majority. Its holder's death releases it.
#pragma once

#include <string>

#include "base/fd.h"

namespace hive::cell {

class FenceLock {
 public:
  // Tries once, and does not wait.
  explicit FenceLock(const std::string& path);
  bool is_held() const { return held_; }

 private:
  UniqueFd file_;
  bool held_ = false;
};

}  // namespace hive::cell
