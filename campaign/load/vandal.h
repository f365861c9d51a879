// A task that stores where it must not, once, with a window open beside.
#pragma once

#include <string>

#include "campaign/load/component.h"

namespace hive::campaign {

// Returns the exit status when it survives its own store; a store that is blocked ends it with a
// bus error, as any program. `incarnations` of the cells; `home` whose memory it is about.
int run_vandal(Setting& setting, const std::vector<std::uint64_t>& incarnations, int home,
               const std::string& what);

// Before attaching: libhive passes on what it can not serve, and it is logged before the end.
void catch_blocked_stores();

}  // namespace hive::campaign
