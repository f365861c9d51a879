// Sends messages to another cell that no sound kernel sends, on this kernel's own ring.
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include <hive/error.h>
#include "base/ids.h"
#include "cell/rpc/rpc_endpoint.h"
#include "machine/layout.h"

namespace hive::cell {

inline constexpr std::int64_t bad_messages_max = 100'000;  // in one go

// how: "garbage" (random bytes; half of them behind a header that could be one; some with a wrong
// sum), "replay" (messages that it has sent before), "truncate" (such, cut off).
// Waits for room in the ring, in all at most a second. Returns how many were sent.
// Errors: bad_argument.
Result<std::int64_t> send_bad_messages(RpcEndpoint& rpc, const machine::Layout& layout,
                                       CellId self, CellId to, const std::string& how,
                                       std::int64_t count, std::uint64_t seed);

}  // namespace hive::cell
