// Whether this thread is inside an interrupt-level RPC handler, which must not wait.
#pragma once

namespace hive::cell {

extern constinit thread_local bool in_interrupt_handler;

}  // namespace hive::cell
