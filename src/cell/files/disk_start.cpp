// A disk is opened: made where there is none, and what the last kernel was in the middle of is
// finished or undone.
#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cell/files/disk_store.h"

namespace hive::cell {
namespace {

constexpr FileNumber numbers_at_once = 1024;

Result<FileNumber> number_in(const Notes& notes, const std::string& name, FileNumber otherwise) {
  const auto text = notes.read(name);
  if (!text && text.error().sys_errno == ENOENT) return otherwise;
  if (!text) return fail(text.error());
  const auto number = read_file_number(*text);
  if (!number) return fail_errno(EIO);
  return *number;
}

}  // namespace

Result<std::unique_ptr<DiskStore>> DiskStore::open(const std::string& path, CellId self,
                                                   std::uint32_t cells) {
  UniqueFd root(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return fail_errno(errno);
  auto files = open_host_folder(root.get(), "files");
  if (!files) return fail(files.error());
  auto names = open_host_folder(root.get(), "names");
  if (!names) return fail(names.error());
  auto notes = Notes::open(root.get(), "notes");
  if (!notes) return fail(notes.error());
  auto attributes = Notes::open(root.get(), "attributes");
  if (!attributes) return fail(attributes.error());
  auto pending = Notes::open(root.get(), "pending");
  if (!pending) return fail(pending.error());
  std::unique_ptr<DiskStore> store(new DiskStore(self, std::move(root), std::move(*files),
                                                 std::move(*names), std::move(*notes),
                                                 std::move(*attributes), std::move(*pending)));
  if (auto same = store->check_cells(cells); !same) return fail(same.error());
  if (auto started = store->start(); !started) return fail(started.error());
  return store;
}

DiskStore::DiskStore(CellId self, UniqueFd root, UniqueFd files, UniqueFd names, Notes notes,
                     Notes attributes, Notes pending)
    : self_(self),
      root_(std::move(root)),
      files_(std::move(files)),
      names_(std::move(names)),
      notes_(std::move(notes)),
      attributes_(std::move(attributes)),
      pending_notes_(std::move(pending)) {}

// The homes of names in the root would be others. A disk with nothing on it changes its machine.
Result<void> DiskStore::check_cells(std::uint32_t cells) {
  const auto written = number_in(notes_, "cells", 0);
  if (!written) return fail(written.error());
  if (*written == cells) return {};
  if (*written != 0) {
    const auto files = names_in(files_.get(), ".");
    const auto names = names_in(names_.get(), "0");
    const bool is_new = !names && names.error().sys_errno == ENOENT;
    if (!files || (!names && !is_new)) return fail(files ? names.error() : files.error());
    if (!files->empty() || (names && !names->empty())) {
      return fail(Code::refused, proto::cause::file_disk_differs, self_, EMEDIUMTYPE);
    }
  }
  return notes_.write("cells", std::to_string(cells));
}

Result<void> DiskStore::start() {
  if (::mkdirat(names_.get(), "0", 0755) != 0 && errno != EEXIST) return fail_errno(errno);
  const auto next = number_in(notes_, "next", 1);
  if (!next) return fail(next.error());
  next_ = reserved_ = *next;
  const auto keys = pending_notes_.names();
  if (!keys) return fail(keys.error());
  const std::scoped_lock lock(names_mutex_);
  for (const std::string& key : *keys) {
    const auto content = pending_notes_.read(key);
    if (!content) return fail(content.error());
    const auto pending = read_pending(key, *content);
    if (!pending) return fail_errno(EIO);
    pending_[key] = *pending;
    if (auto done = resolve(*pending); !done) return done;
  }
  return {};
}

// What can be decided without another home.
Result<void> DiskStore::resolve(const Pending& pending) {
  const FileEntry& entry = pending.entry;
  if (entry.home != self_ || pending.what == Pending::What::move) return {};
  const auto is_there = exists(entry);
  if (!is_there) return fail(is_there.error());
  if (pending.what == Pending::What::claim && *is_there) return {};  // the other home knows
  if (pending.what == Pending::What::name) {
    const auto found = lookup_locked(pending.directory, pending.name);
    if (!found && found.error().sys_errno != ENOENT) return fail(found.error());
    const bool is_named = found && *found == entry;
    if (is_named && *is_there) return forget_locked(entry);
    // A directory that was removed, and had lost only itself yet.
    if (is_named) {
      if (auto erased = erase_name(pending.directory, pending.name); !erased) return erased;
      return forget_locked(entry);
    }
  }
  if (auto removed = remove_object(entry); !removed) return removed;
  return forget_locked(entry);
}

// A block of them is taken on the disk before the first is used, so none is ever used twice.
Result<FileNumber> DiskStore::take_number() {
  const std::scoped_lock lock(number_mutex_);
  if (next_ == reserved_) {
    const FileNumber end = next_ + numbers_at_once;
    if (auto written = notes_.write("next", std::to_string(end)); !written) {
      return fail(written.error());
    }
    reserved_ = end;
  }
  return next_++;
}

}  // namespace hive::cell
