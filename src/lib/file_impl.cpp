#include "lib/file_impl.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/careful_store.h"
#include "lib/causes.h"
#include "lib/mapping_impl.h"

namespace hive::lib {

using proto::GateOp;

FileImpl::FileImpl(std::shared_ptr<SessionImpl> session, Peer* peer, FileEntry entry,
                   const Opened& opened, int flags)
    : session_(std::move(session)),
      peer_(peer),
      entry_(entry),
      handle_(opened.handle),
      flags_(flags),
      in_place_(*session_, *peer_, {entry.number, opened.record, opened.generation}) {}

FileImpl::~FileImpl() {
  // A home that is down has closed it.
  if (handle_ != 0) (void)call({.op = GateOp::file_close, .args = {handle_}});
}

void FileImpl::was_made_in(CellId home, std::uint64_t directory) {
  const std::scoped_lock lock(mutex_);
  made_ = {home, directory};
}

Result<GateValues> FileImpl::call(const GateCall& call) const {
  return call_opened(*session_, *peer_, call);
}

Result<void> FileImpl::check(bool for_writing) const {
  const int mode = flags_ & O_ACCMODE;
  if (mode == (for_writing ? O_RDONLY : O_WRONLY)) return fail_errno(EBADF);
  if (handle_ == 0) return fail_errno(EISDIR);
  return {};
}

Result<std::size_t> FileImpl::read(std::span<std::byte> out) {
  const std::scoped_lock lock(mutex_);
  const auto count = pread(out, offset_);
  if (count) offset_ += *count;
  return count;
}

Result<std::size_t> FileImpl::pread(std::span<std::byte> out, std::uint64_t offset) {
  if (auto may = check(false); !may) return fail(may.error());
  // What is cached is read in place, and what lies between by way of the home.
  std::size_t count = 0;
  while (count < out.size() && offset + count >= offset) {
    const auto here =
        in_place_.read(offset + count, out.subspan(count), proto::gate_answer_bytes_max);
    count += here.bytes;
    if (here.is_end) break;
    if (here.missing == 0) continue;
    const auto more = read_home(offset + count, out.subspan(count, here.missing));
    if (!more && count == 0) return fail(more.error());
    if (!more || *more == 0) break;
    count += *more;
  }
  return count;
}

Result<std::size_t> FileImpl::read_home(std::uint64_t offset, std::span<std::byte> out) {
  // The bytes come here first: `out` may lie in a segment, and a fault there must not find us in a
  // call.
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(out.size());
  const auto values = call({.op = GateOp::file_read,
                            .args = {handle_, offset, out.size()},
                            .answer = {buffer.get(), out.size()}});
  if (!values) return fail(values.error());
  const std::size_t bytes = std::min<std::size_t>((*values)[2], out.size());
  std::copy_n(buffer.get(), bytes, out.data());
  return bytes;
}

Result<std::size_t> FileImpl::write(std::span<const std::byte> bytes) {
  const std::scoped_lock lock(mutex_);
  std::size_t count = 0;
  const auto end = write_at(bytes, offset_, count);
  if (!end) return fail(end.error());
  if (count != 0) offset_ = *end;
  return count;
}

Result<std::size_t> FileImpl::pwrite(std::span<const std::byte> bytes, std::uint64_t offset) {
  std::size_t count = 0;
  const auto end = write_at(bytes, offset, count);
  if (!end) return fail(end.error());
  return count;
}

Result<std::uint64_t> FileImpl::write_at(std::span<const std::byte> bytes, std::uint64_t offset,
                                         std::size_t& count) {
  if (auto may = check(true); !may) return fail(may.error());
  const bool append = (flags_ & O_APPEND) != 0;
  if (!append && !bytes.empty() && offset >= proto::file_bytes_max) return fail_errno(EFBIG);
  constexpr std::size_t most = proto::gate_data_bytes;
  std::vector<std::byte> buffer;
  std::uint64_t end = offset;
  while (count < bytes.size()) {
    const std::size_t part = std::min(bytes.size() - count, most);
    GateCall request{.op = GateOp::file_write,
                     .args = {handle_, offset + count, part, append ? 1U : 0U},
                     .data = bytes.subspan(count, part)};
    // They may lie in a segment, and a fault there must not find us in a call.
    load_source(request.data.data(), part);
    auto values = call(request);
    if (!values && values.error().cause == cause_source) {
      buffer.assign(request.data.begin(), request.data.end());
      request.data = buffer;
      values = call(request);
    }
    if (!values && count == 0) return fail(values.error());
    if (!values) break;
    const std::size_t written = std::min<std::size_t>((*values)[0], part);
    end = (*values)[1] + written;
    count += written;
    if (written < part) break;
  }
  constexpr int at_once = O_DSYNC | O_SYNC;
  if ((flags_ & at_once) != 0 && count != 0) {
    const auto synced = call({.op = GateOp::file_sync, .args = {handle_}});
    if (!synced) return fail(synced.error());
  }
  return end;
}

Result<std::uint64_t> FileImpl::seek(std::int64_t offset, int whence) {
  if (handle_ == 0) return fail_errno(EISDIR);
  const std::scoped_lock lock(mutex_);
  std::int64_t from = 0;
  if (whence == SEEK_CUR) {
    from = static_cast<std::int64_t>(offset_);
  } else if (whence == SEEK_END) {
    const auto size = in_place_.size();
    const auto about = size ? Result<FileInfo>() : info();
    if (!about) return fail(about.error());
    from = static_cast<std::int64_t>(size.value_or(about->size));
  } else if (whence != SEEK_SET) {
    return fail_errno(EINVAL);
  }
  if (offset > std::numeric_limits<std::int64_t>::max() - from) return fail_errno(EOVERFLOW);
  if (from + offset < 0) return fail_errno(EINVAL);
  offset_ = static_cast<std::uint64_t>(from + offset);
  return offset_;
}

Result<FileInfo> FileImpl::info() const {
  proto::FileStatus status;
  const auto values = call({.op = GateOp::file_status,
                            .args = {handle_, entry_.number},
                            .answer = std::as_writable_bytes(std::span(&status, 1))});
  if (!values) return fail(values.error());
  return info_of(status, *session_, entry_.home);
}

Result<std::unique_ptr<MappingImpl>> FileImpl::map(std::uint64_t length, int protection,
                                                   int flags, std::uint64_t offset) const {
  if (handle_ == 0) return fail_errno(ENODEV);
  const bool writable = (protection & PROT_WRITE) != 0;
  constexpr int known = PROT_READ | PROT_WRITE;
  if (length == 0 || offset % machine::page_bytes != 0 ||
      (flags != MAP_SHARED && flags != MAP_PRIVATE) || (protection & PROT_READ) == 0 ||
      (protection & ~known) != 0) {
    return fail_errno(EINVAL);
  }
  const int mode = flags_ & O_ACCMODE;
  const bool is_private = flags == MAP_PRIVATE;
  if (mode == O_WRONLY || (writable && !is_private && mode != O_RDWR)) return fail_errno(EACCES);
  auto mapped = MappingImpl::of_file(session_, {.file = {.peer = peer_, .handle = handle_},
                                                .first_page = offset / machine::page_bytes,
                                                .bytes = length,
                                                .writable = writable,
                                                .is_private = is_private});
  if (!mapped) return fail(with_errno(mapped.error(), EIO));
  return mapped;
}

Result<void> FileImpl::truncate(std::uint64_t size) {
  if ((flags_ & O_ACCMODE) == O_RDONLY || handle_ == 0) return fail_errno(EINVAL);
  if (size > proto::file_bytes_max) return fail_errno(EFBIG);
  const auto done = call({.op = GateOp::file_resize, .args = {handle_, size}});
  if (!done) return fail(done.error());
  return {};
}

Result<void> FileImpl::sync() {
  const std::scoped_lock lock(mutex_);
  const auto done = call({.op = GateOp::file_sync, .args = {handle_, entry_.number}});
  if (!done) return fail(done.error());
  if (!made_) return {};
  const auto named =
      call_home(session_, made_->home, {.op = GateOp::file_sync, .args = {0, made_->directory}});
  // A directory that is gone keeps no name.
  if (!named && named.error().sys_errno != ENOENT) return fail(named.error());
  made_.reset();
  return {};
}

Result<void> FileImpl::set(std::uint64_t what, std::uint64_t first, std::uint64_t second) {
  const auto done = call({.op = GateOp::file_set, .args = {entry_.number, what, first, second}});
  if (!done) return fail(done.error());
  return {};
}

}  // namespace hive::lib
