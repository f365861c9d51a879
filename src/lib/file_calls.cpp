#include "lib/file_calls.h"

#include <cerrno>

#include "lib/causes.h"
#include "lib/deadline.h"
#include "proto/causes.h"

namespace hive::lib {
namespace {

Failure senseless(CellId home) noexcept { return fail(Code::corrupt, cause_bad_reply, home, EIO); }

}  // namespace

Error with_errno(Error error, int when_down) noexcept {
  if (error.sys_errno != 0) return error;
  switch (error.code) {
    case Code::cell_down:
    case Code::not_found:
      error.sys_errno = when_down;
      break;
    case Code::timed_out:
      error.sys_errno = ETIMEDOUT;
      break;
    case Code::exhausted:
      error.sys_errno = EAGAIN;
      break;
    case Code::refused:
      error.sys_errno = ENOTCONN;
      break;
    case Code::bad_argument:
      error.sys_errno = EINVAL;
      break;
    default:
      error.sys_errno = EIO;
      break;
  }
  return error;
}

Result<GateValues> call_home(const std::shared_ptr<SessionImpl>& session, CellId home,
                             GateCall call) {
  auto peer = session->attached_to(home);
  if (!peer) return fail(with_errno(peer.error(), EHOSTDOWN));
  call.deadline_ns = deadline_in(file_call_timeout_ns);
  auto values = session->call(**peer, call);
  if (!values) return fail(with_errno(values.error(), EHOSTDOWN));
  return values;
}

Result<GateValues> call_opened(SessionImpl& session, Peer& peer, GateCall call) noexcept {
  call.deadline_ns = deadline_in(file_call_timeout_ns);
  auto values = session.call(peer, call);
  if (!values) return fail(with_errno(values.error(), EIO));
  return values;
}

Result<FileEntry> entry_of(const GateValues& values, const SessionImpl& session, CellId home) {
  const std::uint64_t kind = values[0] & 0xff;
  const std::uint64_t at = values[0] >> 8;
  if (!proto::is_file_kind(kind) || at >= session.membership().layout.cells) {
    return senseless(home);
  }
  return FileEntry{static_cast<proto::FileKind>(kind), static_cast<CellId>(at), values[1]};
}

Result<FileInfo> info_of(const proto::FileStatus& status, const SessionImpl& session,
                         CellId home) {
  if (!proto::is_file_kind(status.kind) || status.home >= session.membership().layout.cells) {
    return senseless(home);
  }
  FileInfo info;
  info.kind = static_cast<FileKind>(status.kind);
  info.mode = status.mode;
  info.home = status.home;
  info.number = status.number;
  info.size = status.bytes;
  info.disk_bytes = status.disk_bytes;
  info.generation = status.generation;
  info.accessed_ns = status.accessed_ns;
  info.modified_ns = status.modified_ns;
  info.changed_ns = status.changed_ns;
  return info;
}

}  // namespace hive::lib
