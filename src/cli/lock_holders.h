// The processes of a machine, known by the lock file that they hold open: the last resort against
// a machine whose monitor is dead and whose cells do not listen.
#pragma once

#include <string>
#include <vector>

namespace hive::cli {

// The other processes that have the file open, by number: to be looked at, not to be killed.
std::vector<int> lock_holders(const std::string& lock_path);

// Kills every other process of this user that has the file open. The file is compared by device
// and inode, and again after the process has been pinned by a pidfd: no number is trusted alone.
// Returns how many were killed.
int kill_lock_holders(const std::string& lock_path);

}  // namespace hive::cli
