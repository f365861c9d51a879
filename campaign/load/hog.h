// A task that takes what the host has to give: descriptors, processes or memory, up to a bound.
#pragma once

#include <string>

namespace hive::campaign {

// Keeps it until the end of its input. Says `full` on standard output when it has enough.
int run_hog(const std::string& what);

}  // namespace hive::campaign
