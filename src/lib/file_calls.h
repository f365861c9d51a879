// Calls to data homes, with what goes wrong as an errno.
#pragma once

#include <cstdint>
#include <memory>

#include <hive/error.h>
#include <hive/file.h>
#include "lib/session_impl.h"
#include "proto/causes.h"
#include "proto/files.h"

namespace hive::lib {

// A disk may be slow.
inline constexpr std::uint64_t file_call_timeout_ns = 60 * ns_per_s;

using proto::fail_errno;
using proto::FileEntry;

// The error with the errno that it is for a program: `when_down` where the cell is down.
Error with_errno(Error error, int when_down) noexcept;

// Calls the home of a name, or of what it names. Errors: with errno; EHOSTDOWN when it is down.
Result<GateValues> call_home(const std::shared_ptr<SessionImpl>& session, CellId home,
                             GateCall call);
// Calls the home of a file that is open: the very incarnation that has opened it. EIO when it is
// down.
Result<GateValues> call_opened(SessionImpl& session, Peer& peer, GateCall call) noexcept;

// What a home says is input. Errors: corrupt, with EIO.
Result<FileEntry> entry_of(const GateValues& values, const SessionImpl& session, CellId home);
Result<FileInfo> info_of(const proto::FileStatus& status, const SessionImpl& session, CellId home);

}  // namespace hive::lib
