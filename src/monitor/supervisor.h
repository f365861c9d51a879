// The service manager above `hive boot --foreground`, if there is one: systemd, or whatever else
// speaks its protocol of notifications (sd_notify(3): a datagram to the socket in $NOTIFY_SOCKET).
#pragma once

#include <string_view>

namespace hive::monitor {

// Tells it a state such as "READY=1". Does nothing where there is no service manager, and never
// waits for one.
void tell_supervisor(std::string_view state);

}  // namespace hive::monitor
