#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <hive/file.h>
#include <hive/session.h>

#include "lib/file_impl.h"
#include "lib/file_list.h"
#include "lib/file_walk.h"

namespace hive {

using lib::call_home;
using lib::fail_errno;
using lib::FileEntry;
using lib::GateValues;
using lib::SessionImpl;
using lib::Walked;
using proto::GateOp;
using ProtoKind = proto::FileKind;
using SessionPtr = std::shared_ptr<SessionImpl>;

static_assert(static_cast<int>(FileKind::link) == static_cast<int>(ProtoKind::link));
static_assert(time_omit == proto::file_time_omit && time_now == proto::file_time_now);

namespace {

// Names may change between a walk and what follows it.
constexpr int tries_max = 16;

// What the path names. Errors: ENOENT, ENOTDIR (a '/' behind what is none). A directory that the
// path names without a name of its own, such as the root, is an entry of it all the same.
Result<FileEntry> named(const SessionPtr& session, const Walked& walked) {
  if (walked.name.empty()) {
    const auto& directory = walked.directory();
    const CellId home = directory.is_root() ? session->membership().cell : directory.home;
    return FileEntry{ProtoKind::directory, home, directory.number};
  }
  if (!walked.entry) return fail_errno(ENOENT);
  if (walked.wants_directory && walked.entry->kind != ProtoKind::directory) {
    return fail_errno(ENOTDIR);
  }
  return *walked.entry;
}

Result<void> nothing_of(const Result<GateValues>& values) {
  if (!values) return fail(values.error());
  return {};
}

Result<FileInfo> status(const SessionPtr& session, const FileEntry& entry) {
  proto::FileStatus about;
  const auto values = call_home(session, entry.home,
                                {.op = GateOp::file_status,
                                 .args = {0, entry.number},
                                 .answer = std::as_writable_bytes(std::span(&about, 1))});
  if (!values) return fail(values.error());
  return lib::info_of(about, *session, entry.home);
}

Result<FileInfo> status(const SessionPtr& session, std::string_view path, bool follow) {
  Result<FileInfo> about = fail_errno(ENOENT);
  for (int tries = 0; tries < tries_max; ++tries) {
    const auto walked = lib::walk(session, path, follow);
    if (!walked) return fail(walked.error());
    const auto entry = named(session, *walked);
    if (!entry) return fail(entry.error());
    about = status(session, *entry);
    // It went between the two; another may have the name by now.
    if (about || about.error().sys_errno != ENOENT) return about;
  }
  return about;
}

// Makes something of the name, which was free.
Result<FileEntry> make(const SessionPtr& session, const Walked& walked, ProtoKind kind,
                       mode_t mode, CellId home, std::string_view target = {}) {
  const CellId at = lib::home_of_name(*session, walked.directory(), walked.name);
  const std::string text = walked.name + std::string(target);
  const auto values =
      call_home(session, at,
                {.op = GateOp::file_make,
                 .args = {walked.directory().number, static_cast<std::uint64_t>(kind), mode,
                          static_cast<std::uint64_t>(home), walked.name.size(), target.size()},
                 .data = std::as_bytes(std::span(text))});
  if (!values) return fail(values.error());
  return lib::entry_of(*values, *session, at);
}

Result<void> make_at(const SessionPtr& session, std::string_view path, ProtoKind kind, mode_t mode,
                     std::string_view target = {}) {
  const auto walked = lib::walk(session, path, false);
  if (!walked) return fail(walked.error());
  if (walked->name.empty() || walked->entry) return fail_errno(EEXIST);
  if (walked->wants_directory && kind != ProtoKind::directory) return fail_errno(ENOENT);
  const auto made = make(session, *walked, kind, mode, session->membership().cell, target);
  if (!made) return fail(made.error());
  return {};
}

Result<void> remove(const SessionPtr& session, const Walked& walked, ProtoKind kind) {
  const CellId at = lib::home_of_name(*session, walked.directory(), walked.name);
  return nothing_of(call_home(
      session, at,
      {.op = GateOp::file_remove,
       .args = {walked.directory().number, static_cast<std::uint64_t>(kind), walked.name.size()},
       .data = std::as_bytes(std::span(walked.name))}));
}

Result<void> set(const SessionPtr& session, std::string_view path, std::uint64_t what,
                 std::uint64_t first, std::uint64_t second) {
  const auto walked = lib::walk(session, path, true);
  if (!walked) return fail(walked.error());
  const auto entry = named(session, *walked);
  if (!entry) return fail(entry.error());
  // The root has a part on each cell.
  if (walked->name.empty() && walked->directory().is_root()) return fail_errno(EPERM);
  return nothing_of(
      call_home(session, entry->home,
                {.op = GateOp::file_set, .args = {entry->number, what, first, second}}));
}

}  // namespace

FileSystem Session::files() const { return FileSystem(impl_); }

FileSystem::FileSystem(std::shared_ptr<SessionImpl> impl) : impl_(std::move(impl)) {}

Result<File> FileSystem::open(std::string_view path, int flags, mode_t mode,
                              const OpenOptions& options) const {
  const bool makes = (flags & O_CREAT) != 0;
  const bool is_new = makes && (flags & O_EXCL) != 0;
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  const int cells = static_cast<int>(impl_->membership().layout.cells);
  if (options.home < -1 || options.home >= cells) return fail_errno(EINVAL);
  const CellId home = options.home == -1 ? impl_->membership().cell : options.home;
  Result<GateValues> opened = fail_errno(ENOENT);
  for (int tries = 0; tries < tries_max; ++tries) {
    const auto walked = lib::walk(impl_, path, !is_new && (flags & O_NOFOLLOW) == 0);
    if (!walked) return fail(walked.error());
    bool was_made = false;
    auto entry = named(impl_, *walked);
    if (!entry && entry.error().sys_errno == ENOENT && makes) {
      if (walked->wants_directory) return fail_errno(EISDIR);
      entry = make(impl_, *walked, ProtoKind::file, mode, home);
      if (!entry && entry.error().sys_errno == EEXIST && !is_new) continue;
      was_made = entry.has_value();
    } else if (entry && is_new) {
      return fail_errno(EEXIST);
    }
    if (!entry) return fail(entry.error());
    if (entry->kind == ProtoKind::link) return fail_errno(ELOOP);
    if ((flags & O_DIRECTORY) != 0 && entry->kind != ProtoKind::directory) {
      return fail_errno(ENOTDIR);
    }
    auto peer = impl_->attached_to(entry->home);
    if (!peer) return fail(lib::with_errno(peer.error(), EHOSTDOWN));
    if (entry->kind == ProtoKind::directory) {
      if (writes || makes || (flags & O_TRUNC) != 0) return fail_errno(EISDIR);
      return File(std::make_unique<lib::FileImpl>(
          impl_, *peer, *entry, lib::FileImpl::Opened{}, flags));
    }
    const std::uint64_t truncates =
        writes && (flags & O_TRUNC) != 0 && !was_made ? proto::file_open_truncate : 0;
    opened = lib::call_opened(*impl_, **peer,
                              {.op = GateOp::file_open, .args = {entry->number, truncates}});
    if (opened) {
      const lib::FileImpl::Opened of{(*opened)[0], (*opened)[2], (*opened)[3]};
      auto impl = std::make_unique<lib::FileImpl>(impl_, *peer, *entry, of, flags);
      if (was_made) {
        impl->was_made_in(lib::home_of_name(*impl_, walked->directory(), walked->name),
                          walked->directory().number);
      }
      return File(std::move(impl));
    }
    if (opened.error().code == Code::cell_down) opened.error().sys_errno = EHOSTDOWN;
    if (opened.error().sys_errno != ENOENT) break;
  }
  return fail(opened.error());
}

Result<FileInfo> FileSystem::stat(std::string_view path) const {
  return status(impl_, path, true);
}
Result<FileInfo> FileSystem::lstat(std::string_view path) const {
  return status(impl_, path, false);
}

Result<void> FileSystem::mkdir(std::string_view path, mode_t mode) const {
  return make_at(impl_, path, ProtoKind::directory, mode);
}

Result<void> FileSystem::symlink(std::string_view target, std::string_view path) const {
  if (target.empty()) return fail_errno(ENOENT);
  if (target.size() > proto::file_path_max) return fail_errno(ENAMETOOLONG);
  if (target.find('\0') != target.npos) return fail_errno(EINVAL);
  return make_at(impl_, path, ProtoKind::link, 0777, target);
}

Result<void> FileSystem::rmdir(std::string_view path) const {
  const auto walked = lib::walk(impl_, path, false);
  if (!walked) return fail(walked.error());
  if (walked->name.empty()) return fail_errno(walked->directory().is_root() ? EBUSY : EINVAL);
  if (!walked->entry) return fail_errno(ENOENT);
  if (walked->entry->kind != ProtoKind::directory) return fail_errno(ENOTDIR);
  return remove(impl_, *walked, ProtoKind::directory);
}

Result<void> FileSystem::unlink(std::string_view path) const {
  const auto walked = lib::walk(impl_, path, false);
  if (!walked) return fail(walked.error());
  const auto entry = named(impl_, *walked);
  if (!entry) return fail(entry.error());
  if (entry->kind == ProtoKind::directory) return fail_errno(EISDIR);
  return remove(impl_, *walked, ProtoKind::file);
}

Result<void> FileSystem::rename(std::string_view from, std::string_view to) const {
  const auto source = lib::walk(impl_, from, false);
  if (!source) return fail(source.error());
  const auto target = lib::walk(impl_, to, false);
  if (!target) return fail(target.error());
  if (source->name.empty() || target->name.empty()) return fail_errno(EBUSY);
  const auto moved = named(impl_, *source);
  if (!moved) return fail(moved.error());
  const bool is_directory = moved->kind == ProtoKind::directory;
  if (target->wants_directory && !is_directory) return fail_errno(ENOTDIR);
  // Not into itself.
  if (is_directory && std::ranges::any_of(target->directories, [&](const auto& directory) {
        return directory.home == moved->home && directory.number == moved->number;
      })) {
    return fail_errno(EINVAL);
  }
  const CellId at = lib::home_of_name(*impl_, source->directory(), source->name);
  const CellId to_cell = lib::home_of_name(*impl_, target->directory(), target->name);
  const std::string text = source->name + target->name;
  return nothing_of(
      call_home(impl_, at,
                {.op = GateOp::file_rename,
                 .args = {source->directory().number, static_cast<std::uint64_t>(to_cell),
                          target->directory().number, source->name.size(), target->name.size()},
                 .data = std::as_bytes(std::span(text))}));
}

Result<std::string> FileSystem::readlink(std::string_view path) const {
  const auto walked = lib::walk(impl_, path, false);
  if (!walked) return fail(walked.error());
  const auto entry = named(impl_, *walked);
  if (!entry) return fail(entry.error());
  if (entry->kind != ProtoKind::link) return fail_errno(EINVAL);
  return lib::read_link(impl_, *entry);
}

Result<void> FileSystem::chmod(std::string_view path, mode_t mode) const {
  return set(impl_, path, proto::file_set_mode, mode, 0);
}

Result<void> FileSystem::utimens(std::string_view path, std::int64_t accessed_ns,
                                 std::int64_t modified_ns) const {
  return set(impl_, path, proto::file_set_times, static_cast<std::uint64_t>(accessed_ns),
             static_cast<std::uint64_t>(modified_ns));
}

Result<DirectoryList> FileSystem::readdir(std::string_view path) const {
  const auto walked = lib::walk(impl_, path, true);
  if (!walked) return fail(walked.error());
  const auto entry = named(impl_, *walked);
  if (!entry) return fail(entry.error());
  if (entry->kind != ProtoKind::directory) return fail_errno(ENOTDIR);
  if (walked->name.empty() && walked->directory().is_root()) return lib::list_root(impl_);
  DirectoryList list;
  if (auto done = lib::list_directory(impl_, entry->home, entry->number, list); !done) {
    return fail(done.error());
  }
  return list;
}

Result<FileSpace> FileSystem::space(int cell) const {
  if (auto usable = impl_->check(); !usable) return fail(lib::with_errno(usable.error(), EIO));
  if (cell < 0 || cell >= static_cast<int>(impl_->membership().layout.cells)) {
    return fail_errno(EINVAL);
  }
  const auto values = call_home(impl_, cell, {.op = GateOp::file_space});
  if (!values) return fail(values.error());
  return FileSpace{(*values)[0], (*values)[1]};
}

}  // namespace hive
