// The lock that tells a running machine from one that was killed.
//
// It is a flock on one open file description, which the monitor makes and every power process,
// starter and kernel inherits. Linux drops it when the last of them is gone, however it went. So:
//   held                     something of the machine lives
//   free, with files there   left over from a machine that was killed; whoever takes it cleans up
// Only the holder removes the file, and who takes it looks whether the file is still the one at
// the path, so that nobody holds a lock on a file that is no longer there.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "monitor/refusal.h"

namespace hive::monitor {

enum class LockState : std::uint8_t { absent, free, held };

// `dir` is the machine's runtime directory. Does not disturb a machine that is being booted for
// longer than a moment, which lock_machine() waits out.
LockState lock_state(const std::string& dir);

// Creates the runtime directory and takes the lock. Errors: exit_running_already (held),
// exit_failed (the directory can not be made, or belongs to somebody else).
Outcome<UniqueFd> lock_machine(const std::string& dir, const std::string& machine);

// The lock that one process holds as the monitor. Invalid when another is the monitor.
UniqueFd lock_monitor(const std::string& dir);

// For the holder: waits until no other process holds it, by giving its own up and taking it anew.
// False at the deadline, or when somebody else took it in between; then it is no longer held here.
bool outlive_other_holders(UniqueFd& lock, const std::string& dir, std::uint64_t deadline_ns);

// True when nobody holds it before the deadline.
bool wait_until_unlocked(const std::string& dir, std::uint64_t deadline_ns);

// Removes all that is in the runtime directory; with `lock_too` the lock, last, and the directory.
// Only for the holder of the lock.
void remove_machine_files(const std::string& dir, bool lock_too);

}  // namespace hive::monitor
