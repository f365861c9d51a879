// Where a campaign keeps its machine's files and its evidence: a directory of its own in TMPDIR,
// with a lock in it as long as the campaign runs. One whose lock is free was left by a campaign
// that was killed; who comes next takes down its machine and removes it.
#pragma once

#include <string>

#include "campaign/driver/process.h"

namespace hive::campaign {

class WorkDirectory {
 public:
  // Removes what was left first. Throws std::runtime_error when none can be made.
  WorkDirectory();
  WorkDirectory(const WorkDirectory&) = delete;
  WorkDirectory& operator=(const WorkDirectory&) = delete;
  ~WorkDirectory();  // removed, unless it is kept

  const std::string& path() const { return path_; }
  // Leaves it as it is, for somebody to read, without what only its machine could use.
  void keep(int rounds);

 private:
  std::string path_;
  Descriptor lock_;
  bool kept_ = false;
};

}  // namespace hive::campaign
