// Locks between processes: a Linux file lock on a file of its own, which death releases.
#pragma once

#include <string>

#include <hive/error.h>
#include "base/fd.h"

namespace hive {

// Takes the exclusive lock of the file at `path`, made if need be; tries once, and does not wait.
// The lock is held until the descriptor and its copies are closed. Errors: busy (somebody has it),
// host (the file can not be made).
Result<UniqueFd> try_lock_file(const std::string& path);

}  // namespace hive
