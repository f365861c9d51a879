// What hive fs reports.
#pragma once

#include <string>
#include <vector>

#include "cli/fs_access.h"

namespace hive::cli {

// Each returns the exit status; what can not be shown is complained of.

// Nothing: the root.
int list_paths(FsAccess& access, const std::vector<std::string>& paths, bool as_long,
               bool as_json);
int show_status(FsAccess& access, const std::vector<std::string>& paths, bool as_json);
int show_space(FsAccess& access, bool as_json);

}  // namespace hive::cli
