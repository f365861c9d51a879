// Where a fault that cannot be served goes when the thread asked for it (view.h).
#pragma once

#include <hive/error.h>

namespace hive::lib {

// Whether this thread is in a guarded() block.
bool has_guard() noexcept;

// Jumps to the innermost guarded() of this thread, which then returns the error. Returns when
// there is none. To be called by the fault handler, on whatever stack it runs.
void jump_to_guard(const Error& error) noexcept;

}  // namespace hive::lib
