// Control requests: one JSON object for each message on a SOCK_SEQPACKET socket, answered by one
// object. {"op": NAME, ...} -> {"ok": true, ...} or {"ok": false, "code": CODE, "error": WORDS}.
// An answer that is longer than control_inline_max comes in a memfd: {"in": "memfd"} + descriptor.
//
// On the socket of a cell (cell<N>.sock), which also takes attaching processes (attach.h):
//   status                    the whole machine as this cell sees it
//   ps                        the tasks of the whole machine
//   run      {program, arguments, environment, span_index, span_count, span_id}
//            + [cwd, stdin, stdout, stderr]     -> {task, pid}; then on the same connection
//            {"event": "ended", "status": WAIT STATUS, "cause": WORDS}; while it runs the client
//            may send {"op": "signal", "signal": N}; its closing the connection sends SIGHUP
//   kill     {task, signal}   any task of the machine
//   fault    {kind, cell, ...}: kill-cell, bad-frame, hang-cell {how}, fail-memory,
//            wild-store {address | class, seed} -> {address, home, hit, blocked}, kill-at {point,
//            skip}, corrupt {structure, how, seed} -> {address, offset, old, new},
//            garbage {to, how, count, seed} -> {sent}, accuse {accused, times},
//            structures {} -> {structures}, counters {} -> see cell/diagnostics/counters.h
//   shutdown {}               this cell ends its tasks and itself
//   adopt    {} + [channel]   by a new monitor -> {pid, incarnation} + [power pidfd]; the cell
//                             takes its orders from the channel then
//   bench    {name, ...}      measurements that only a kernel can take (see cell/diagnostics)
// On the socket of the monitor (monitor.sock):
//   shutdown {}               orderly, the whole machine; answered when everything is gone
//   drain    {cell, grace_ms} ends the tasks of a cell and switches its node off; answered then
//   reboot   {cell, grace_ms} the same if it is up, and starts it anew; answered when it is up
//   ping     {}
// Between the monitor and each kernel, on the channel that the kernel was started with or took
// since:
//   orders   {"op": "connect", cells: [the live ones; all others when absent]}, go, shutdown,
//            {"op": "drain", grace_ms}
//   events   {"event": "ready", pid} + [pidfd], connected, up, {failed, cause, check: NAME of a
//   check
//            that was not passed}, {cell_down, cell, epoch, cause},
//            {reboot, cell, incarnation: more than that of the life that ended}
#pragma once

#include <cstddef>

#include "base/time.h"

namespace hive::proto {

inline constexpr std::size_t control_inline_max = 32 * 1024;

// A cell that is shut down: from SIGTERM to SIGKILL for its tasks, where nobody says otherwise;
// then for what is dirty to get to the disk. Who has given the order waits for both, and a little.
inline constexpr std::uint64_t tasks_end_max_ns = 2 * ns_per_s;
inline constexpr std::uint64_t flush_max_ns = 8 * ns_per_s;
inline constexpr std::uint64_t cell_end_max_ns = 3 * ns_per_s;

// Environment that the kernel of a cell gives to the tasks it starts.
inline constexpr const char* env_machine = "HIVE_MACHINE";
inline constexpr const char* env_cell = "HIVE_CELL";
inline constexpr const char* env_cookie = "HIVE_TASK_COOKIE";
// Where runtime directories of machines live, for whoever does not want the default.
inline constexpr const char* env_runtime_dir = "HIVE_RUNTIME_DIR";

}  // namespace hive::proto
