// Names on a disk, and how they come, go and move.
#include <algorithm>
#include <cerrno>
#include <mutex>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cell/files/disk_store.h"

namespace hive::cell {
namespace {

std::string place(FileNumber directory, std::string_view name) {
  return std::to_string(directory) + "/" + std::string(name);
}

}  // namespace

Result<FileEntry> DiskStore::lookup(FileNumber directory, std::string_view name) const {
  if (const int wrong = proto::check_file_name(name); wrong != 0) return fail_errno(wrong);
  const std::shared_lock lock(names_mutex_);
  return lookup_locked(directory, name);
}

Result<FileEntry> DiskStore::lookup_locked(FileNumber directory, std::string_view name) const {
  const auto found = read_host_link(names_.get(), place(directory, name));
  if (!found) return fail(found.error());
  const auto entry = read_entry(*found);
  if (!entry) return fail_errno(EIO);
  return *entry;
}

Result<std::vector<DiskStore::Listed>> DiskStore::list(FileNumber directory,
                                                       std::string_view after,
                                                       std::size_t bytes_max, bool& more) const {
  const std::shared_lock lock(names_mutex_);
  auto names = names_in(names_.get(), text(directory));
  if (!names) return fail(names.error());
  std::erase_if(*names, [&](const std::string& name) { return name <= after; });
  std::ranges::sort(*names);
  std::vector<Listed> listed;
  std::size_t bytes = 0;
  more = false;
  for (std::string& name : *names) {
    bytes += sizeof(proto::ListedFile) + name.size();
    if (bytes > bytes_max) {
      more = true;
      break;
    }
    const auto entry = lookup_locked(directory, name);
    if (!entry) return fail(entry.error());
    listed.push_back({std::move(name), *entry});
  }
  return listed;
}

Result<bool> DiskStore::leads_to(FileNumber directory, const FileEntry& entry) const {
  const std::shared_lock lock(names_mutex_);
  const auto names = names_in(names_.get(), text(directory));
  if (!names && names.error().sys_errno == ENOENT) return false;
  if (!names) return fail(names.error());
  for (const std::string& name : *names) {
    const auto found = lookup_locked(directory, name);
    if (!found) return fail(found.error());
    if (*found == entry) return true;
  }
  return false;
}

Result<FileEntry> DiskStore::make_file(FileNumber directory, std::string_view name,
                                       std::uint32_t mode) {
  return make_named(directory, name, FileKind::file, mode, {});
}
Result<FileEntry> DiskStore::make_directory(FileNumber directory, std::string_view name,
                                            std::uint32_t mode) {
  return make_named(directory, name, FileKind::directory, mode, {});
}
Result<FileEntry> DiskStore::make_link(FileNumber directory, std::string_view name,
                                       std::string_view target) {
  if (target.empty()) return fail_errno(ENOENT);
  if (target.size() > proto::file_path_max) return fail_errno(ENAMETOOLONG);
  if (target.find('\0') != target.npos) return fail_errno(EINVAL);
  return make_named(directory, name, FileKind::link, 0, target);
}

Result<FileEntry> DiskStore::make_named(FileNumber directory, std::string_view name, FileKind kind,
                                        std::uint32_t mode, std::string_view target) {
  const std::scoped_lock lock(names_mutex_);
  if (auto free = check_free(directory, name); !free) return fail(free.error());
  const auto number = take_number();
  if (!number) return fail(number.error());
  const FileEntry entry{kind, self_, *number};
  if (auto noted = note_loss(directory, name, entry); !noted) return fail(noted.error());
  Result<void> made;
  if (kind == FileKind::file) {
    made = make_content(*number, mode);
  } else {
    file_step();
    const int failed =
        kind == FileKind::link
            ? ::symlinkat(std::string(target).c_str(), files_.get(), text(*number).c_str())
            : ::mkdirat(names_.get(), text(*number).c_str(), 0700);
    if (failed != 0) made = fail_errno(errno);
    if (made && kind == FileKind::directory) made = set_mode(*number, mode);
  }
  if (made) made = put_name(directory, name, entry);
  if (!made) {
    // What can not be taken back now is at the next start.
    if (remove_object(entry)) (void)forget_locked(entry);
    return fail(made.error());
  }
  if (auto forgotten = forget_locked(entry); !forgotten) return fail(forgotten.error());
  return entry;
}

Result<void> DiskStore::link(FileNumber directory, std::string_view name, const FileEntry& entry) {
  const std::scoped_lock lock(names_mutex_);
  if (auto free = check_free(directory, name); !free) return free;
  if (auto noted = note_loss(directory, name, entry); !noted) return noted;
  return put_name(directory, name, entry);
}

Result<FileEntry> DiskStore::unlink(FileNumber directory, std::string_view name) {
  if (const int wrong = proto::check_file_name(name); wrong != 0) return fail_errno(wrong);
  const std::scoped_lock lock(names_mutex_);
  auto entry = lookup_locked(directory, name);
  if (!entry) return entry;
  if (entry->kind == FileKind::directory) return fail_errno(EISDIR);
  if (auto settled = check_settled(*entry); !settled) return fail(settled.error());
  if (auto noted = note_loss(directory, name, *entry); !noted) return fail(noted.error());
  if (auto erased = erase_name(directory, name); !erased) {
    (void)forget_locked(*entry);
    return fail(erased.error());
  }
  return entry;
}

Result<FileEntry> DiskStore::remove_directory(FileNumber directory, std::string_view name) {
  if (const int wrong = proto::check_file_name(name); wrong != 0) return fail_errno(wrong);
  const std::scoped_lock lock(names_mutex_);
  auto entry = lookup_locked(directory, name);
  if (!entry) return entry;
  if (entry->kind != FileKind::directory) return fail_errno(ENOTDIR);
  if (auto settled = check_settled(*entry); !settled) return fail(settled.error());
  if (auto noted = note_loss(directory, name, *entry); !noted) return fail(noted.error());
  if (entry->home != self_) return fail_errno(EREMOTE);
  if (auto removed = remove_object(*entry); !removed) {
    (void)forget_locked(*entry);
    return fail(removed.error());
  }
  if (auto erased = erase_name(directory, name); !erased) return fail(erased.error());
  if (auto forgotten = forget_locked(*entry); !forgotten) return fail(forgotten.error());
  return entry;
}

Result<void> DiskStore::forget_name(FileNumber directory, std::string_view name,
                                    const FileEntry& entry) {
  const std::scoped_lock lock(names_mutex_);
  if (auto erased = erase_name_of(directory, name, entry); !erased) return erased;
  return forget_locked(entry);
}

Result<std::optional<FileEntry>> DiskStore::rename(FileNumber from, std::string_view name,
                                                   FileNumber to, std::string_view to_name) {
  for (const std::string_view one : {name, to_name}) {
    if (const int wrong = proto::check_file_name(one); wrong != 0) return fail_errno(wrong);
  }
  const std::scoped_lock lock(names_mutex_);
  const auto entry = lookup_locked(from, name);
  if (!entry) return fail(entry.error());
  if (auto settled = check_settled(*entry); !settled) return fail(settled.error());
  const auto old = lookup_locked(to, to_name);
  if (!old && old.error().sys_errno != ENOENT) return fail(old.error());
  if (old && *old == *entry) return std::nullopt;
  if (old) {
    if (auto may = check_replaceable(*entry, *old); !may) return fail(may.error());
    if (auto noted = note_loss(to, to_name, *old); !noted) return fail(noted.error());
  }
  file_step();
  if (::renameat(names_.get(), place(from, name).c_str(), names_.get(),
                 place(to, to_name).c_str()) != 0) {
    const int error = errno;
    if (old) (void)forget_locked(*old);
    return fail_errno(error);
  }
  if (!old) return std::nullopt;
  if (auto settled = settle_loss(*old); !settled) return fail(settled.error());
  return *old;
}

Result<std::optional<FileEntry>> DiskStore::take_over(FileNumber directory, std::string_view name,
                                                      const FileEntry& entry) {
  if (const int wrong = proto::check_file_name(name); wrong != 0) return fail_errno(wrong);
  const std::scoped_lock lock(names_mutex_);
  const auto old = lookup_locked(directory, name);
  if (!old && old.error().sys_errno != ENOENT) return fail(old.error());
  if (old && *old == entry) return std::nullopt;
  if (!old) {
    if (auto put = put_name(directory, name, entry); !put) return fail(put.error());
    return std::nullopt;
  }
  if (auto may = check_replaceable(entry, *old); !may) return fail(may.error());
  if (auto noted = note_loss(directory, name, *old); !noted) return fail(noted.error());
  if (auto replaced = replace_name(directory, name, entry); !replaced) {
    (void)forget_locked(*old);
    return fail(replaced.error());
  }
  if (auto settled = settle_loss(*old); !settled) return fail(settled.error());
  return *old;
}

Result<FileEntry> DiskStore::begin_move(FileNumber from, std::string_view name, CellId to_cell,
                                        FileNumber to, std::string_view to_name) {
  for (const std::string_view one : {name, to_name}) {
    if (const int wrong = proto::check_file_name(one); wrong != 0) return fail_errno(wrong);
  }
  const std::scoped_lock lock(names_mutex_);
  auto entry = lookup_locked(from, name);
  if (!entry) return entry;
  if (auto settled = check_settled(*entry); !settled) return fail(settled.error());
  Pending pending{
      .entry = *entry, .what = Pending::What::move, .directory = from, .name = std::string(name)};
  pending.cell = to_cell;
  pending.to_directory = to;
  pending.to_name = to_name;
  if (auto noted = note(pending); !noted) return fail(noted.error());
  return entry;
}

Result<void> DiskStore::end_move(const FileEntry& entry, bool is_there) {
  const std::scoped_lock lock(names_mutex_);
  const auto found = pending_.find(pending_key(entry));
  if (found == pending_.end() || found->second.what != Pending::What::move) return {};
  const Pending move = found->second;
  if (is_there) {
    if (auto erased = erase_name_of(move.directory, move.name, entry); !erased) return erased;
  }
  return forget_locked(entry);
}

std::vector<Pending> DiskStore::unsettled() const {
  const std::shared_lock lock(names_mutex_);
  std::vector<Pending> all;
  all.reserve(pending_.size());
  for (const auto& [key, pending] : pending_) all.push_back(pending);
  return all;
}

std::optional<Pending> DiskStore::unsettled(const FileEntry& entry) const {
  const std::shared_lock lock(names_mutex_);
  const auto found = pending_.find(pending_key(entry));
  return found == pending_.end() ? std::nullopt : std::optional(found->second);
}

Result<void> DiskStore::forget(const FileEntry& entry) {
  const std::scoped_lock lock(names_mutex_);
  return forget_locked(entry);
}

Result<void> DiskStore::note(const Pending& pending) {
  const std::string key = pending_key(pending.entry);
  if (auto written = pending_notes_.write(key, pending_text(pending)); !written) return written;
  pending_[key] = pending;
  return {};
}

Result<void> DiskStore::forget_locked(const FileEntry& entry) {
  const std::string key = pending_key(entry);
  if (!pending_.contains(key)) return {};
  if (auto erased = pending_notes_.erase(key); !erased) return erased;
  pending_.erase(key);
  return {};
}

Result<void> DiskStore::check_settled(const FileEntry& entry) const {
  if (!pending_.contains(pending_key(entry))) return {};
  return fail_errno(EBUSY);
}

Result<void> DiskStore::check_free(FileNumber directory, std::string_view name) const {
  if (const int wrong = proto::check_file_name(name); wrong != 0) return fail_errno(wrong);
  const auto found = lookup_locked(directory, name);
  if (found) return fail_errno(EEXIST);
  if (found.error().sys_errno != ENOENT) return fail(found.error());
  // No such name, or no such directory?
  if (::faccessat(names_.get(), text(directory).c_str(), F_OK, 0) != 0) return fail_errno(errno);
  return {};
}

Result<void> DiskStore::check_replaceable(const FileEntry& fresh, const FileEntry& old) const {
  const bool is_directory = old.kind == FileKind::directory;
  if (is_directory && fresh.kind != FileKind::directory) return fail_errno(EISDIR);
  if (!is_directory && fresh.kind == FileKind::directory) return fail_errno(ENOTDIR);
  if (auto settled = check_settled(old); !settled) return settled;
  if (!is_directory) return {};
  if (old.home != self_) return fail_errno(EREMOTE);
  const auto names = names_in(names_.get(), text(old.number));
  if (!names) return fail(names.error());
  return names->empty() ? Result<void>() : fail_errno(ENOTEMPTY);
}

Result<void> DiskStore::put_name(FileNumber directory, std::string_view name,
                                 const FileEntry& entry) {
  file_step();
  if (::symlinkat(entry_text(entry).c_str(), names_.get(), place(directory, name).c_str()) == 0) {
    return {};
  }
  return fail_errno(errno);
}

Result<void> DiskStore::replace_name(FileNumber directory, std::string_view name,
                                     const FileEntry& entry) {
  const std::string fresh = pending_notes_.scratch();
  const int folder = pending_notes_.directory();
  file_step();
  if (::symlinkat(entry_text(entry).c_str(), folder, fresh.c_str()) != 0) return fail_errno(errno);
  file_step();
  if (::renameat(folder, fresh.c_str(), names_.get(), place(directory, name).c_str()) == 0) {
    return {};
  }
  const int error = errno;
  ::unlinkat(folder, fresh.c_str(), 0);
  return fail_errno(error);
}

Result<void> DiskStore::erase_name(FileNumber directory, std::string_view name) {
  file_step();
  if (::unlinkat(names_.get(), place(directory, name).c_str(), 0) == 0) return {};
  return fail_errno(errno);
}

Result<void> DiskStore::erase_name_of(FileNumber directory, std::string_view name,
                                      const FileEntry& entry) {
  const auto found = lookup_locked(directory, name);
  if (!found) return found.error().sys_errno == ENOENT ? Result<void>() : fail(found.error());
  return *found == entry ? erase_name(directory, name) : Result<void>();
}

Result<void> DiskStore::note_loss(FileNumber directory, std::string_view name,
                                  const FileEntry& entry) {
  return note({.entry = entry,
               .what = Pending::What::name,
               .directory = directory,
               .name = std::string(name)});
}

// A directory of this home that has lost its name goes at once; it was seen to be empty.
Result<void> DiskStore::settle_loss(const FileEntry& entry) {
  if (entry.kind != FileKind::directory || entry.home != self_) return {};
  if (auto removed = remove_object(entry); !removed) return removed;
  return forget_locked(entry);
}

}  // namespace hive::cell
